// Products of few rows, as decoding has them, for the vector unit that the processor has; and the widening of weights
// that are stored as a file has them.
//
// OpenBLAS packs the weights before it multiplies, which for ten rows costs as much as the product, and its product of
// a matrix and one vector does not keep the memory busy: on a Zen 4 it reads at 12 GB/s a core where 20 are possible. In
// C, not in Swift: a Swift function cannot be compiled for a vector unit of its own, and baseline x86-64 has neither AVX
// nor fused multiply-add.
#pragma once
#include <stdbool.h>
#include <stdint.h>

// The vector units that there is code for, in rising order. On another architecture than x86-64 there is the first only.
enum t2_vector_unit { T2_UNIT_BASELINE, T2_UNIT_AVX2, T2_UNIT_AVX512 };

// The best unit of this processor.
enum t2_vector_unit t2_best_vector_unit(void);

// Rows up to which these are faster than OpenBLAS's sgemm on this processor; from there on packing pays.
long t2_few_rows_limit(void);

// How weights are stored: X(name, values in a block, bytes of a block). ggml's blocks, and plain little-endian numbers.
#define T2_WEIGHT_TYPES(X)                                                                                     \
  X(F32, 1, 4) X(F16, 1, 2) X(BF16, 1, 2) X(F64, 1, 8)                                                         \
  X(Q8_0, 32, 34) X(Q4_0, 32, 18) X(Q4_1, 32, 20) X(Q5_0, 32, 22) X(Q5_1, 32, 24) X(IQ4_NL, 32, 18)            \
  X(Q2_K, 256, 84) X(Q3_K, 256, 110) X(Q4_K, 256, 144) X(Q5_K, 256, 176) X(Q6_K, 256, 210) X(IQ4_XS, 256, 136)

#define T2_ENUMERATOR(T, VALUES, BYTES) T2_##T,
enum t2_weight_type { T2_WEIGHT_TYPES(T2_ENUMERATOR) };
#undef T2_ENUMERATOR

// Types are numbered from 0; their names are those of gguf files, "Q4_K".
long t2_weight_type_count(void);
const char *t2_weight_type_name(enum t2_weight_type type);
long t2_block_values(enum t2_weight_type type);
long t2_block_bytes(enum t2_weight_type type);

// y (rows, columns) = x (rows, inner) W^T, or y += where it accumulates. W lies as (columns, inner) without gaps and is
// read once, in order; strides are distances between rows. Each sum is added up in the same order whatever `rows` is.
// `unit` is one that this processor has.
void t2_few_rows_transposed(
    enum t2_vector_unit unit, long rows, long columns, long inner, const float *x, long x_stride, const float *w,
    float *y, long y_stride, bool accumulate);

// The same for W as `type` stores it, at any alignment, with `w_stride` bytes between its rows; `inner` is a multiple of
// the block's length. The result is to the bit that of the product above with the values that `t2_widen` gives.
void t2_few_rows_stored(
    enum t2_vector_unit unit, enum t2_weight_type type, long rows, long columns, long inner, const float *x,
    long x_stride, const void *w, long w_stride, float *y, long y_stride, bool accumulate);

// y (rows, columns) = x (rows, inner) M, or y +=, where M lies as (inner, columns) with `m_stride` between its rows.
void t2_few_rows_plain(
    enum t2_vector_unit unit, long rows, long columns, long inner, const float *x, long x_stride, const float *m,
    long m_stride, float *y, long y_stride, bool accumulate);

// The same for M in halves.
void t2_few_rows_plain_half(
    enum t2_vector_unit unit, long rows, long columns, long inner, const float *x, long x_stride, const uint16_t *m,
    long m_stride, float *y, long y_stride, bool accumulate);

// out (rows, inner) = the values of W, exactly as ggml has them; those of F64 are rounded to the nearest.
void t2_widen(
    enum t2_vector_unit unit, enum t2_weight_type type, long rows, long inner, const void *w, long w_stride, float *out,
    long out_stride);

// The sum of `count` words, and with it what the memory gives at most: several places are read at once, ahead of time, with
// nothing to compute but additions. What products read is stated as a share of it.
uint32_t t2_read(enum t2_vector_unit unit, const uint32_t *words, long count);
