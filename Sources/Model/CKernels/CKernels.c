#include "CKernels.h"

#pragma clang fp contract(fast)

#define WIDTH 4
#define WEIGHT_ROWS 2
#define COLUMN_VECTORS 2
#define NAME(x) baseline_##x
#include "few_rows.h"
#undef WIDTH
#undef WEIGHT_ROWS
#undef COLUMN_VECTORS
#undef NAME

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#define WIDTH 8
#define WEIGHT_ROWS 2
#define COLUMN_VECTORS 2
#define NAME(x) avx2_##x
#include "few_rows.h"
#undef WIDTH
#undef WEIGHT_ROWS
#undef COLUMN_VECTORS
#undef NAME
#pragma clang attribute pop

#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"))), apply_to = function)
#define WIDTH 16
#define WEIGHT_ROWS 4
#define COLUMN_VECTORS 4
#define NAME(x) avx512_##x
#include "few_rows.h"
#undef WIDTH
#undef WEIGHT_ROWS
#undef COLUMN_VECTORS
#undef NAME
#pragma clang attribute pop
#endif

enum t2_vector_unit t2_best_vector_unit(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw"))
    return T2_UNIT_AVX512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return T2_UNIT_AVX2;
#endif
  return T2_UNIT_BASELINE;
}

// Measured on a Zen 4 against 0.3.21's kernels for it and for Zen 3: with AVX the two meet at about 32 rows.
long t2_few_rows_limit(void) { return t2_best_vector_unit() == T2_UNIT_BASELINE ? 10 : 24; }

void t2_few_rows_transposed(
    enum t2_vector_unit unit, long rows, long columns, long inner, const float *x, long x_stride, const float *w,
    float *y, long y_stride, bool accumulate) {
  switch (unit) {
#if defined(__x86_64__)
    case T2_UNIT_AVX512: avx512_transposed(rows, columns, inner, x, x_stride, w, y, y_stride, accumulate); break;
    case T2_UNIT_AVX2: avx2_transposed(rows, columns, inner, x, x_stride, w, y, y_stride, accumulate); break;
#endif
    default: baseline_transposed(rows, columns, inner, x, x_stride, w, y, y_stride, accumulate);
  }
}

void t2_few_rows_plain(
    enum t2_vector_unit unit, long rows, long columns, long inner, const float *x, long x_stride, const float *m,
    long m_stride, float *y, long y_stride, bool accumulate) {
  switch (unit) {
#if defined(__x86_64__)
    case T2_UNIT_AVX512: avx512_plain(rows, columns, inner, x, x_stride, m, m_stride, y, y_stride, accumulate); break;
    case T2_UNIT_AVX2: avx2_plain(rows, columns, inner, x, x_stride, m, m_stride, y, y_stride, accumulate); break;
#endif
    default: baseline_plain(rows, columns, inner, x, x_stride, m, m_stride, y, y_stride, accumulate);
  }
}
