"""JAX and flax -> gatherd: the same rows, the same answers out of range, the same step.

python jax_to_gatherd.py [http://127.0.0.1:8080]
It needs flax, jax, numpy, optax, requests, safetensors.
"""

import json
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import requests
from safetensors.numpy import load, save

address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
url = f"{address}/v1/tables/from-jax"
TENSORS = {"content-type": "application/x-safetensors"}


def lookup(ids, **options):
    body = save({"indices": np.asarray(ids)})
    headers = {**TENSORS, "accept": "application/x-safetensors"}
    answer = requests.post(f"{url}/lookup", params=options, data=body, headers=headers)
    answer.raise_for_status()
    return load(answer.content)["embeddings"]


# The layer and its matrix. `fill` is the rule of flax and jnp.take; the optimizer is optax.adagrad(0.1).
layer = nn.Embed(num_embeddings=1000, features=16)
params = layer.init(jax.random.key(0), jnp.zeros((1,), jnp.int32))
A = params["params"]["embedding"]
optimizer = {"kind": "adagrad", "learning_rate": 0.1, "initial_accumulator": 0.1, "epsilon": 1e-7}
optimizer["epsilon_inside_sqrt"] = True
settings = {"out_of_range": "fill", "optimizer": json.dumps(optimizer)}
matrix = save({"embedding": np.asarray(A)})
requests.put(url, params=settings, data=matrix, headers=TENSORS).raise_for_status()

ids = np.array([[3, 1, 3], [999, 0, 7]], np.int32)
np.testing.assert_array_equal(lookup(ids), layer.apply(params, ids))
print("OK rows: flax Embed")

wild = np.array([0, 999, 1000, 5000, -1, -1000, -1001], np.int32)
np.testing.assert_array_equal(lookup(wild), layer.apply(params, wild))  # NaN rows for 1000, 5000 and -1001
np.testing.assert_array_equal(lookup(wild), jnp.take(A, wild, axis=0))
np.testing.assert_array_equal(lookup(wild, mode="clip"), jnp.take(A, wild, axis=0, mode="clip"))
np.testing.assert_array_equal(lookup(wild, mode="wrap"), jnp.take(A, wild, axis=0, mode="wrap"))
np.testing.assert_array_equal(lookup(wild, mode="clamp"), A[wild])
np.testing.assert_array_equal(lookup(wild, mode="clamp"), jax.vmap(lambda i: A[i])(wild))
print("OK out of range: fill, clip, wrap, A[x], vmap")


# One step. JAX differentiates through the whole matrix; gatherd takes the gradient of the rows looked up.
def loss_of(rows):
    return jnp.sum((rows - 1.0) ** 2)


transform = optax.adagrad(0.1)
gradient = jax.grad(lambda matrix: loss_of(matrix[ids]))(A)
updates, _ = transform.update(gradient, transform.init(A))
expected = optax.apply_updates(A, updates)

rows_gradient = jax.grad(loss_of)(lookup(ids))
# gatherd sums the two gradients of id 3 first.
body = save({"indices": ids, "gradients": np.asarray(rows_gradient)})
requests.post(f"{url}/gradients", data=body, headers=TENSORS).raise_for_status()
np.testing.assert_allclose(lookup(np.arange(1000)), expected, rtol=1e-6, atol=1e-7)
print("OK step: optax.adagrad")
