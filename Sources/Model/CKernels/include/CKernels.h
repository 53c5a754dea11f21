// Products of few rows, as decoding has them, for the vector unit that the processor has.
//
// OpenBLAS packs the weights before it multiplies, which for ten rows costs as much as the product, and its product of
// a matrix and one vector does not keep the memory busy: on a Zen 4 it reads at 12 GB/s a core where 20 are possible. In
// C, not in Swift: a Swift function cannot be compiled for a vector unit of its own, and baseline x86-64 has neither AVX
// nor fused multiply-add.
#pragma once
#include <stdbool.h>

// The vector units that there is code for, in rising order. On another architecture than x86-64 there is the first only.
enum t2_vector_unit { T2_UNIT_BASELINE, T2_UNIT_AVX2, T2_UNIT_AVX512 };

// The best unit of this processor.
enum t2_vector_unit t2_best_vector_unit(void);

// Rows up to which these are faster than OpenBLAS's sgemm on this processor; from there on packing pays.
long t2_few_rows_limit(void);

// y (rows, columns) = x (rows, inner) W^T, or y += where it accumulates. W lies as (columns, inner) without gaps and is
// read once, in order; strides are distances between rows. Each sum is added up in the same order whatever `rows` is.
// `unit` is one that this processor has.
void t2_few_rows_transposed(
    enum t2_vector_unit unit, long rows, long columns, long inner, const float *x, long x_stride, const float *w,
    float *y, long y_stride, bool accumulate);

// y (rows, columns) = x (rows, inner) M, or y +=, where M lies as (inner, columns) with `m_stride` between its rows.
void t2_few_rows_plain(
    enum t2_vector_unit unit, long rows, long columns, long inner, const float *x, long x_stride, const float *m,
    long m_stride, float *y, long y_stride, bool accumulate);
