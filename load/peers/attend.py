"""The numpy side of load/bench/attend.ts, one thread.

A line on standard input is a number of queries; the answer is the milliseconds of one pass.
"""
import sys
import time

import numpy as np

rows, dim, k = (int(word) for word in sys.argv[1:4])
random = np.random.default_rng(1)
table = random.standard_normal((rows, dim), dtype=np.float32)
print(np.__version__, flush=True)
for line in sys.stdin:
    count = int(line)
    queries = random.standard_normal((count, dim), dtype=np.float32)
    start = time.perf_counter()
    if count == 1:
        scores = (table @ queries[0])[None]
    else:
        scores = queries @ table.T
    found = np.argpartition(scores, rows - k, axis=1)[:, rows - k :]
    best = np.take_along_axis(found, np.argsort(-np.take_along_axis(scores, found, 1), 1), 1)
    print((time.perf_counter() - start) * 1e3, best[0, 0], flush=True)
