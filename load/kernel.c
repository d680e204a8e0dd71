// Random-row gather in C, the yardstick of kernel.ts. usage: kernel DIM... -> one line of JSON per dim.
// 1 GiB of float32 without huge pages, batches of 4,096 uniform ids, output reused; best of 7 passes, ns per row.
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define TABLE_BYTES (1ull << 30)
#define BATCH 4096
#define BATCHES 64
#define PASSES 7
#define AHEAD 16

static double nowNs(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint64_t state = 88172645463325252ull;
static uint32_t nextId(uint32_t rows) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)(state % rows);
}

static void plain(char *restrict out, const char *restrict table, const uint32_t *restrict ids, size_t rowBytes) {
  for (size_t i = 0; i < BATCH; i++) memcpy(out + i * rowBytes, table + ids[i] * rowBytes, rowBytes);
}

static void prefetched(char *restrict out, const char *restrict table, const uint32_t *restrict ids, size_t rowBytes) {
  for (size_t i = 0; i < BATCH; i++) {
    const char *next = table + ids[i + AHEAD < BATCH ? i + AHEAD : i] * rowBytes;
    for (size_t b = 0; b < rowBytes; b += 64) __builtin_prefetch(next + b, 0, 0);
    memcpy(out + i * rowBytes, table + ids[i] * rowBytes, rowBytes);
  }
}

typedef void (*Kernel)(char *restrict, const char *restrict, const uint32_t *restrict, size_t);

static double bestNs(Kernel kernel, char *out, const char *table, uint32_t *ids, size_t rowBytes) {
  double best = 1e18;
  for (int pass = 0; pass < PASSES; pass++) {
    for (size_t i = 0; i < (size_t)BATCH * BATCHES; i++) ids[i] = nextId((uint32_t)(TABLE_BYTES / rowBytes));
    double start = nowNs();
    for (size_t batch = 0; batch < BATCHES; batch++) kernel(out, table, ids + batch * BATCH, rowBytes);
    double used = nowNs() - start;
    if (used < best) best = used;
  }
  return best / ((double)BATCH * BATCHES);
}

int main(int argc, char **argv) {
  char *table = mmap(NULL, TABLE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  uint32_t *ids = malloc(sizeof(uint32_t) * BATCH * BATCHES);
  if (table == MAP_FAILED || !ids) return 1;
  madvise(table, TABLE_BYTES, MADV_NOHUGEPAGE);
  memset(table, 1, TABLE_BYTES);
  for (int i = 1; i < argc; i++) {
    size_t rowBytes = (size_t)atoi(argv[i]) * 4;
    char *out = malloc(BATCH * rowBytes);
    if (!out) return 1;
    memset(out, 1, BATCH * rowBytes);
    double copyNs = bestNs(plain, out, table, ids, rowBytes);
    double prefetchNs = bestNs(prefetched, out, table, ids, rowBytes);
    printf("{\"dim\":%zu,\"memcpy\":%.1f,\"prefetch\":%.1f}\n", rowBytes / 4, copyNs, prefetchNs);
    free(out);
  }
  return 0;
}
