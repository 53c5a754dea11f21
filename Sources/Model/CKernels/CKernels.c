#include "CKernels.h"

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#pragma clang fp contract(fast)
#pragma clang diagnostic ignored "-Wpsabi"  // Vectors are passed between functions that are inlined.

// What the four-bit levels of IQ4_NL and IQ4_XS stand for.
static const int8_t codebook[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
static const int8_t counting[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

typedef uint8_t bytes16 __attribute__((vector_size(16), aligned(1), may_alias));
typedef int8_t signed16 __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint8_t bytes32 __attribute__((vector_size(32), aligned(1), may_alias));
typedef uint32_t words __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint8_t bytes64 __attribute__((vector_size(64), aligned(1), may_alias));
typedef uint32_t words8 __attribute__((vector_size(32), aligned(1), may_alias));
typedef uint32_t words16 __attribute__((vector_size(64), aligned(1), may_alias));

#define WIDTH 4
#define WEIGHT_ROWS 2
#define COLUMN_VECTORS 2
#define NAME(x) baseline_##x
#include "unit.h"

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#define WIDTH 8
#define WEIGHT_ROWS 2
#define COLUMN_VECTORS 2
#define NAME(x) avx2_##x
#include "unit.h"
#pragma clang attribute pop

#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,f16c"))), apply_to = function)
#define WIDTH 16
#define WEIGHT_ROWS 4
#define COLUMN_VECTORS 4
#define NAME(x) avx512_##x
#include "unit.h"
#pragma clang attribute pop

#define CALL(UNIT, FUNCTION, ...)                                     \
  switch (UNIT) {                                                     \
    case T2_UNIT_AVX512: avx512_##FUNCTION(__VA_ARGS__); break;       \
    case T2_UNIT_AVX2: avx2_##FUNCTION(__VA_ARGS__); break;           \
    case T2_UNIT_BASELINE: baseline_##FUNCTION(__VA_ARGS__); break;   \
  }
#else
#define CALL(UNIT, FUNCTION, ...) (void)(UNIT), baseline_##FUNCTION(__VA_ARGS__)
#endif

enum t2_vector_unit t2_best_vector_unit(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool hasAVX2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  if (hasAVX2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
    return T2_UNIT_AVX512;
  if (hasAVX2) return T2_UNIT_AVX2;
#endif
  return T2_UNIT_BASELINE;
}

// Measured on a Zen 4 against 0.3.21's kernels for it and for Zen 3: with AVX the two meet at about 32 rows.
long t2_few_rows_limit(void) { return t2_best_vector_unit() == T2_UNIT_BASELINE ? 10 : 24; }

static const struct {
  const char *name;
  long values, bytes;
} types[] = {
#define ENTRY(T, VALUES, BYTES) {#T, VALUES, BYTES},
    T2_WEIGHT_TYPES(ENTRY)
#undef ENTRY
};

long t2_weight_type_count(void) { return sizeof types / sizeof *types; }
const char *t2_weight_type_name(enum t2_weight_type type) { return types[type].name; }
long t2_block_values(enum t2_weight_type type) { return types[type].values; }
long t2_block_bytes(enum t2_weight_type type) { return types[type].bytes; }

void t2_few_rows_transposed(
    enum t2_vector_unit unit, long rows, long columns, long inner, const float *x, long x_stride, const float *w,
    float *y, long y_stride, bool accumulate) {
  CALL(unit, transposed, rows, columns, inner, x, x_stride, w, y, y_stride, accumulate);
}

void t2_few_rows_stored(
    enum t2_vector_unit unit, enum t2_weight_type type, long rows, long columns, long inner, const float *x,
    long x_stride, const void *w, long w_stride, float *y, long y_stride, bool accumulate) {
  CALL(unit, stored, type, rows, columns, inner, x, x_stride, w, w_stride, y, y_stride, accumulate);
}

void t2_few_rows_plain(
    enum t2_vector_unit unit, long rows, long columns, long inner, const float *x, long x_stride, const float *m,
    long m_stride, float *y, long y_stride, bool accumulate) {
  CALL(unit, plain, rows, columns, inner, x, x_stride, m, m_stride, y, y_stride, accumulate);
}

void t2_few_rows_plain_half(
    enum t2_vector_unit unit, long rows, long columns, long inner, const float *x, long x_stride, const uint16_t *m,
    long m_stride, float *y, long y_stride, bool accumulate) {
  CALL(unit, plain_half, rows, columns, inner, x, x_stride, m, m_stride, y, y_stride, accumulate);
}

void t2_widen(
    enum t2_vector_unit unit, enum t2_weight_type type, long rows, long inner, const void *w, long w_stride, float *out,
    long out_stride) {
  CALL(unit, widen, type, rows, inner, w, w_stride, out, out_stride);
}

uint32_t t2_read(enum t2_vector_unit unit, const uint32_t *words, long count) {
  uint32_t sum = 0;
  CALL(unit, read, words, count, &sum);
  return sum;
}
