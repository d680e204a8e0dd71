"""Optimizer steps on sparse gradients in torch for load/bench/optimizer.ts, one thread.

A line `<kind> <batch> <path>` on standard input asks for a step; the answer is a line `<ms> <sum>` of the
rows that took it. The file at path holds the ids as int32, that at gradients_path float32.
"""
import sys
import time
import warnings

import numpy
import torch

warnings.simplefilter("ignore")
torch.set_num_threads(1)
rows, dim, gradients_path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
gradients = torch.from_numpy(numpy.fromfile(gradients_path, dtype=numpy.float32).reshape(-1, dim))
place = torch.arange(rows * dim, dtype=torch.int64)
initial = (((place * 7919) % 10007) / 10007 - 0.5).to(torch.float32).reshape(rows, dim)
makers = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.01),
    "adagrad": lambda parameters: torch.optim.Adagrad(parameters, lr=0.01),
    "adam": lambda parameters: torch.optim.SparseAdam(parameters, lr=0.001),
}
trained = {}


def train(kind, batch):
    """Each way of batching has a table and state of its own."""
    if (kind, batch) not in trained:
        table = torch.nn.Embedding(rows, dim, sparse=True, _weight=initial.clone())
        trained[kind, batch] = table, makers[kind](table.parameters())
    return trained[kind, batch]


print(torch.__version__, flush=True)
for line in sys.stdin:
    kind, batch, path = line.split(maxsplit=2)
    batch = int(batch)
    ids = torch.from_numpy(numpy.fromfile(path.strip(), dtype=numpy.int32).astype(numpy.int64))
    table, optimizer = train(kind, batch)
    start = time.perf_counter()
    for first in range(0, len(ids), batch):
        some = ids[first : first + batch]
        table.weight.grad = torch.sparse_coo_tensor(some[None], gradients[first : first + batch], (rows, dim))
        optimizer.step()
    ms = (time.perf_counter() - start) * 1e3
    with torch.no_grad():
        print(ms, table.weight[ids].to(torch.float64).sum().item(), flush=True)
