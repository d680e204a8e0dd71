"""numpy.take for load/bench/kernel.ts: one measurement for each line on standard input.

Usage: take.py TABLE_BYTES BATCH

The table is float32; word i is i with its lower 14 bits cleared. A line names a variant, the dim and a file
of int32 ids. The answer is nanoseconds per row over their second half, and the sum of the words of the last
batch for comparison. `take` is a call with defaults; `clip` checks no id and writes to memory that is there.
NumPy asks for huge pages for its tables unless the environment says NUMPY_MADVISE_HUGEPAGE=0.
"""

import sys
import time

import numpy as np

table_bytes, batch = map(int, sys.argv[1:3])
words = np.empty(table_bytes // 4, np.uint32)
for first in range(0, len(words), 1 << 14):
    words[first : first + (1 << 14)] = first
print("numpy", np.__version__, flush=True)

for line in sys.stdin:
    variant, dim, path = line.split()
    rows = len(words) // int(dim)
    table = words[: rows * int(dim)].reshape(rows, int(dim)).view(np.float32)
    batches = np.fromfile(path, dtype=np.int32).astype(np.intp).reshape(-1, batch)
    out = np.empty((batch, int(dim)), np.float32)
    start = 0.0
    for index, ids in enumerate(batches):
        if index * 2 == len(batches):
            start = time.perf_counter()
        if variant == "take":
            answer = np.take(table, ids, axis=0)
        else:
            answer = np.take(table, ids, axis=0, out=out, mode="clip")
    elapsed = time.perf_counter() - start
    print(elapsed * 2e9 / batches.size, answer.view(np.uint32).sum(dtype=np.float64), flush=True)
