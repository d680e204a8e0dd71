// Gathers random rows in C for kernel.ts: one measurement for each line on standard input. Usage: kernel
// TABLE_BYTES BATCH. The table is float32 without huge pages, word i of which is i with its lower 14 bits
// cleared. A line names a variant, the dim and a file of int32 ids; the answer is nanoseconds per row of the
// second half, and the sum of the words of the last batch, for comparison.
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define AHEAD 16
#define IDS_MAX (1u << 20)

static double nowNs(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void plain(char *restrict out, const char *restrict table, const uint32_t *restrict ids,
                  size_t count, size_t rowBytes) {
  for (size_t i = 0; i < count; i++) memcpy(out + i * rowBytes, table + ids[i] * rowBytes, rowBytes);
}

static void prefetched(char *restrict out, const char *restrict table, const uint32_t *restrict ids,
                       size_t count, size_t rowBytes) {
  for (size_t i = 0; i < count; i++) {
    const char *next = table + ids[i + AHEAD < count ? i + AHEAD : i] * rowBytes;
    for (size_t b = 0; b < rowBytes; b += 64) __builtin_prefetch(next + b, 0, 0);
    memcpy(out + i * rowBytes, table + ids[i] * rowBytes, rowBytes);
  }
}

static size_t readIds(uint32_t *ids, const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file) return 0;
  size_t count = fread(ids, sizeof *ids, IDS_MAX, file);
  fclose(file);
  return count;
}

int main(int argc, char **argv) {
  if (argc < 3) return 1;
  size_t tableBytes = strtoull(argv[1], NULL, 10), batch = strtoull(argv[2], NULL, 10);
  char *table = mmap(NULL, tableBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  uint32_t *ids = malloc(sizeof *ids * IDS_MAX);
  if (table == MAP_FAILED || !ids) return 1;
  madvise(table, tableBytes, MADV_NOHUGEPAGE);
  for (size_t i = 0; i < tableBytes / 4; i++) ((uint32_t *)table)[i] = (uint32_t)i & ~16383u;
  printf("C %s\n", __VERSION__);
  fflush(stdout);

  char variant[16], path[4096];
  size_t dim;
  while (scanf("%15s %zu %4095s", variant, &dim, path) == 3) {
    size_t count = readIds(ids, path), rowBytes = dim * 4;
    uint32_t *out = malloc(batch * rowBytes);
    if (!out || count < batch) return 1;
    memset(out, 1, batch * rowBytes);
    void (*kernel)(char *restrict, const char *restrict, const uint32_t *restrict, size_t, size_t) =
        strcmp(variant, "memcpy") ? prefetched : plain;
    double start = 0, sum = 0;
    for (size_t at = 0; at + batch <= count; at += batch) {
      if (at == count / 2) start = nowNs();
      kernel((char *)out, table, ids + at, batch, rowBytes);
    }
    double used = nowNs() - start;
    for (size_t i = 0; i < batch * dim; i++) sum += out[i];
    printf("%.2f %.0f\n", used * 2 / (double)count, sum);
    fflush(stdout);
    free(out);
  }
  return 0;
}
