"""PyTorch -> gatherd: the same rows, the same refusals, the same bags, the same step.

python torch_to_gatherd.py [http://127.0.0.1:8080]
It needs torch, numpy, requests, safetensors.
"""

import sys

import numpy as np
import requests
import torch
from safetensors.numpy import load, save

address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
url = f"{address}/v1/tables/from-torch"
TENSORS = {"content-type": "application/x-safetensors"}


def lookup(tensors, **options):
    body = save({name: np.asarray(tensor) for name, tensor in tensors.items()})
    headers = {**TENSORS, "accept": "application/x-safetensors"}
    answer = requests.post(f"{url}/lookup", params=options, data=body, headers=headers)
    answer.raise_for_status()
    return load(answer.content)["embeddings"]


# The layer and its matrix. `error` is the default mode, and the defaults of adam are those of SparseAdam.
layer = torch.nn.Embedding(1000, 16, padding_idx=0, sparse=True)
A = layer.weight.detach().numpy().copy()
settings = {"padding_index": 0, "optimizer": "adam"}
requests.put(url, params=settings, data=save({"weight": A}), headers=TENSORS).raise_for_status()

ids = torch.tensor([[3, 1, 3], [999, 0, 7]])
np.testing.assert_array_equal(lookup({"indices": ids}), layer(ids).detach())
print("OK rows: torch Embedding")

for wild in (torch.tensor([1000]), torch.tensor([-1])):
    try:
        layer(wild)
    except IndexError:
        refusal = requests.post(f"{url}/lookup", data=save({"indices": wild.numpy()}), headers=TENSORS)
        assert (refusal.status_code, refusal.json()["code"]) == (422, "INDEX_OUT_OF_RANGE")
    else:
        raise AssertionError("torch answers an id out of range")
print("OK out of range: refused by both")

# EmbeddingBag: four bags, the third is empty, the last is all padding.
flat, offsets = torch.tensor([3, 1, 4, 0, 999, 5, 0, 0]), torch.tensor([0, 3, 6, 6])
for kind in ("sum", "mean", "max"):
    expected = torch.nn.functional.embedding_bag(flat, layer.weight, offsets, mode=kind, padding_idx=0)
    bags = lookup({"indices": flat, "offsets": offsets}, pooling=kind)
    np.testing.assert_allclose(bags, expected.detach(), rtol=1e-6, atol=1e-7)
weights = torch.rand(8)
expected = torch.nn.functional.embedding_bag(
    flat, layer.weight, offsets, mode="sum", padding_idx=0, per_sample_weights=weights
).detach()
bags = lookup({"indices": flat, "offsets": offsets, "weights": weights}, pooling="sum")
np.testing.assert_allclose(bags, expected, rtol=1e-6, atol=1e-6)
print("OK bags: torch EmbeddingBag")

# One step. Both sum the gradients of id 3 first; neither moves the padding row or a row that is not named.
optimizer = torch.optim.SparseAdam(layer.parameters())
((layer(ids) - 1) ** 2).sum().backward()
optimizer.step()

rows = torch.tensor(lookup({"indices": ids}), requires_grad=True)
((rows - 1) ** 2).sum().backward()
body = save({"indices": ids.numpy(), "gradients": rows.grad.numpy()})
requests.post(f"{url}/gradients", data=body, headers=TENSORS).raise_for_status()
np.testing.assert_allclose(lookup({"indices": np.arange(1000)}), layer.weight.detach(), rtol=1e-6, atol=1e-7)
print("OK step: torch.optim.SparseAdam")
