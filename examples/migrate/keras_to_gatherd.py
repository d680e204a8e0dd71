"""Keras -> gatherd: the same rows, the same mask, the same training step.

python keras_to_gatherd.py [http://127.0.0.1:8080]
It needs keras with jax or torch, numpy, requests, safetensors.
"""

import json
import os
import sys

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
import requests
from safetensors.numpy import load, save

address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
url = f"{address}/v1/tables/from-keras"
TENSORS = {"content-type": "application/x-safetensors"}


def lookup(ids, **options):
    body = save({"indices": np.asarray(ids)})
    headers = {**TENSORS, "accept": "application/x-safetensors"}
    answer = requests.post(f"{url}/lookup", params=options, data=body, headers=headers)
    answer.raise_for_status()
    return load(answer.content)


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


# The layer and its matrix. The optimizer spells out keras.optimizers.Adagrad(0.1).
layer = keras.layers.Embedding(1000, 16, mask_zero=True)
layer.build()
A = layer.get_weights()[0]
optimizer = {"kind": "adagrad", "learning_rate": 0.1, "initial_accumulator": 0.1, "epsilon": 1e-7}
optimizer["epsilon_inside_sqrt"] = True
settings = {"out_of_range": "fill", "optimizer": json.dumps(optimizer)}
requests.put(url, params=settings, data=save({"embeddings": A}), headers=TENSORS).raise_for_status()

# The lookup asks for mask_zero, and the table does not have it as a setting, because Keras trains row 0 too.
ids = np.array([[3, 1, 3, 0], [999, 7, 0, 0]], np.int32)
answer = lookup(ids, padding_index=0, mask="true")
np.testing.assert_array_equal(answer["embeddings"], to_numpy(layer(ids)))
np.testing.assert_array_equal(answer["mask"].astype(bool), to_numpy(layer.compute_mask(ids)))
print("OK rows and mask: keras Embedding")

negative = np.array([-1, -1000], np.int32)
np.testing.assert_array_equal(lookup(negative)["embeddings"], to_numpy(layer(negative)))
wild = np.array([5, 1000, -1001], np.int32)
if keras.backend.backend() == "jax":
    np.testing.assert_array_equal(lookup(wild)["embeddings"], to_numpy(layer(wild)))  # NaN rows
else:
    try:
        layer(wild)
    except IndexError:
        body = save({"indices": wild})
        refusal = requests.post(f"{url}/lookup", params={"mode": "error"}, data=body, headers=TENSORS)
        assert (refusal.status_code, refusal.json()["code"]) == (422, "INDEX_OUT_OF_RANGE")
    else:
        raise AssertionError("this backend answers ids out of range")
print("OK out of range: negative ids count from the end, others as on backend", keras.backend.backend())

# One training step. Keras holds the matrix itself; gatherd gets the gradient of the rows looked up.
targets = np.random.default_rng(0).normal(size=(2, 4, 16)).astype("float32")
trained = keras.layers.Embedding(1000, 16)
model = keras.Sequential([trained])
model.compile(keras.optimizers.Adagrad(0.1), loss="mean_squared_error")
model.build((None, 4))
trained.set_weights([A])
model.train_on_batch(ids, targets)

rows = lookup(ids)["embeddings"]
gradient = 2 * (rows - targets) / rows.size  # of the mean squared error
body = save({"indices": ids, "gradients": gradient})
requests.post(f"{url}/gradients", data=body, headers=TENSORS).raise_for_status()
after = lookup(np.arange(1000))["embeddings"]
np.testing.assert_allclose(after, trained.get_weights()[0], rtol=1e-5, atol=1e-7)
print("OK step: keras Adagrad")
