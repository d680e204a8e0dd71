"""torch's embedding_bag for load/bench/bags.ts: one thread, one measurement for each line on standard input.

Usage: bags.py ROWS DIM BAG

A line names the dtype of the table, whether ids are weighted (0, 1) and a file of int32 ids. The answer is
nanoseconds per id, and the sum of the pooled rows for comparison.
"""

import sys
import time

import numpy as np
import torch

torch.set_num_threads(1)
rows, dim, bag = map(int, sys.argv[1:4])
numbers = torch.empty(rows, dim)
for first in range(0, rows, 100_000):
    places = np.arange(first * dim, min(rows, first + 100_000) * dim, dtype=np.int64)
    part = (places * 7919 % 10007) / 10007 - 0.5
    numbers[first : first + 100_000] = torch.from_numpy(part.astype(np.float32).reshape(-1, dim))
tables = {"float32": numbers, "float16": numbers.half(), "bfloat16": numbers.bfloat16()}
print("torch", torch.__version__, flush=True)

for line in sys.stdin:
    dtype, weighted, path = line.split()
    ids = torch.from_numpy(np.fromfile(path, dtype=np.int32).astype(np.int64))
    offsets = torch.arange(0, len(ids), bag)
    weights = (torch.arange(len(ids)) % 7 / 7).to(tables[dtype].dtype) if weighted == "1" else None
    start = time.perf_counter()
    pooled = torch.nn.functional.embedding_bag(
        ids, tables[dtype], offsets, mode="sum", per_sample_weights=weights
    )
    elapsed = time.perf_counter() - start
    print(elapsed * 1e9 / len(ids), pooled.double().sum().item(), flush=True)
