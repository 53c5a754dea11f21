// The two products for one vector unit. Included once for each, with
//   WIDTH           floats in a vector
//   WEIGHT_ROWS     rows of weights at a time: as many as the registers hold sums for, with five rows of x
//   COLUMN_VECTORS  vectors of columns at a time, likewise
//   NAME(x)         the name of x for this unit
// Blocks are always_inline with constant sizes, so that their sums live in registers.

typedef float NAME(vector) __attribute__((vector_size(WIDTH * 4), aligned(4), may_alias));
#define V NAME(vector)
#define INLINE static inline __attribute__((always_inline))
#define LOAD(p) (*(const V *)(p))

// By halves: one after the other would take as long as the product at inner = 576.
INLINE float NAME(sum)(V v) {
#if WIDTH == 16
  typedef float half __attribute__((vector_size(32)));
  half h = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
           __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
#else
  V h = v;
#endif
#if WIDTH >= 8
  typedef float quarter __attribute__((vector_size(16)));
  quarter q = __builtin_shufflevector(h, h, 0, 1, 2, 3) + __builtin_shufflevector(h, h, 4, 5, 6, 7);
#else
  V q = h;
#endif
  return (q[0] + q[2]) + (q[1] + q[3]);
}

// `nw` <= WEIGHT_ROWS rows of weights with `nx` <= 5 rows of x: the sums, the weights and one operand fit the registers.
// `next` is where the weights lie that come after these: asked for into the second cache while these are used, they come
// at the memory's full speed; into the first, at half of it (Zen 4).
INLINE void NAME(dot_block)(
    const int nw, const int nx, long inner, const float *x, long x_stride, const float *w, const float *next, float *y,
    long y_stride, bool accumulate) {
  V sums[WEIGHT_ROWS][5];
#pragma clang loop unroll(full)
  for (int a = 0; a < nw; a++)
#pragma clang loop unroll(full)
    for (int b = 0; b < nx; b++) sums[a][b] = (V){0};
  long i = 0;
  for (; i + WIDTH <= inner; i += WIDTH) {
    if (next) {
#pragma clang loop unroll(full)
      for (int a = 0; a < nw; a++) __builtin_prefetch(next + a * inner + i, 0, 2);
    }
    V weights[WEIGHT_ROWS];
#pragma clang loop unroll(full)
    for (int a = 0; a < nw; a++) weights[a] = LOAD(w + a * inner + i);
#pragma clang loop unroll(full)
    for (int b = 0; b < nx; b++) {
      V operand = LOAD(x + b * x_stride + i);
#pragma clang loop unroll(full)
      for (int a = 0; a < nw; a++) sums[a][b] += weights[a] * operand;
    }
  }
#pragma clang loop unroll(full)
  for (int b = 0; b < nx; b++)
#pragma clang loop unroll(full)
    for (int a = 0; a < nw; a++) {
      float total = NAME(sum)(sums[a][b]);
      for (long j = i; j < inner; j++) total += w[a * inner + j] * x[b * x_stride + j];
      float *target = y + b * y_stride + a;
      *target = accumulate ? *target + total : total;
    }
}

// The next rows of x to take together: six go as three and three, not as five and one.
INLINE long NAME(together)(long left) {
  return left == 6 ? 3 : left < 5 ? left : left == 7 || left == 8 ? 4 : 5;
}

static void NAME(transposed)(
    long rows, long columns, long inner, const float *x, long x_stride, const float *w, float *y, long y_stride,
    bool accumulate) {
  long nw = WEIGHT_ROWS;
  for (long column = 0; column < columns; column += nw) {
    if (columns - column < WEIGHT_ROWS) nw = 1;
    const float *weights = w + column * inner;
    for (long row = 0; row < rows;) {
      // The first rows of x find these weights in the second cache, the others in the first.
      const float *next = row == 0 && columns - column >= 2 * nw ? weights + nw * inner : 0;
      const float *xs = x + row * x_stride;
      float *target = y + row * y_stride + column;
      const long nx = NAME(together)(rows - row);
#define CASE(A, B)                                                                           \
  case (A) * 8 + (B):                                                                        \
    NAME(dot_block)(A, B, inner, xs, x_stride, weights, next, target, y_stride, accumulate); \
    break;
#define CASES(A) CASE(A, 1) CASE(A, 2) CASE(A, 3) CASE(A, 4) CASE(A, 5)
      switch (nw * 8 + nx) { CASES(1) CASES(WEIGHT_ROWS) }
#undef CASES
#undef CASE
      row += nx;
    }
  }
}

// `nc` vectors of columns of M with `nx` <= 5 rows of x.
INLINE void NAME(plain_block)(
    const int nx, const int nc, long inner, const float *x, long x_stride, const float *m, long m_stride, float *y,
    long y_stride, bool accumulate) {
  V sums[5][8];
#pragma clang loop unroll(full)
  for (int b = 0; b < nx; b++)
#pragma clang loop unroll(full)
    for (int c = 0; c < nc; c++) sums[b][c] = (V){0};
  for (long i = 0; i < inner; i++, m += m_stride) {
    // Every row of M is another place in memory: ask for the one that is needed sixteen rows on.
#pragma clang loop unroll(full)
    for (int c = 0; c * WIDTH < nc * WIDTH; c += 64 / (4 * WIDTH)) __builtin_prefetch(m + 16 * m_stride + c * WIDTH, 0, 2);
    V columns[8];
#pragma clang loop unroll(full)
    for (int c = 0; c < nc; c++) columns[c] = LOAD(m + c * WIDTH);
#pragma clang loop unroll(full)
    for (int b = 0; b < nx; b++) {
      const float operand = x[b * x_stride + i];
#pragma clang loop unroll(full)
      for (int c = 0; c < nc; c++) sums[b][c] += columns[c] * operand;
    }
  }
#pragma clang loop unroll(full)
  for (int b = 0; b < nx; b++)
#pragma clang loop unroll(full)
    for (int c = 0; c < nc; c++) {
      V *target = (V *)(y + b * y_stride + c * WIDTH);
      *target = accumulate ? *target + sums[b][c] : sums[b][c];
    }
}

static void NAME(plain)(
    long rows, long columns, long inner, const float *x, long x_stride, const float *m, long m_stride, float *y,
    long y_stride, bool accumulate) {
  long column = 0;
  while (column + WIDTH <= columns) {
    const long left = (columns - column) / WIDTH;
    const long nc = rows == 1 && left >= 8 ? 8 : left >= COLUMN_VECTORS ? COLUMN_VECTORS : 1;
    for (long row = 0; row < rows;) {
      const long nx = NAME(together)(rows - row);
      const float *xs = x + row * x_stride;
      float *target = y + row * y_stride + column;
#define CASE(B, C)                                                                                           \
  case (B) * 16 + (C):                                                                                       \
    NAME(plain_block)(B, C, inner, xs, x_stride, m + column, m_stride, target, y_stride, accumulate);        \
    break;
#define CASES(C) CASE(1, C) CASE(2, C) CASE(3, C) CASE(4, C) CASE(5, C)
      switch (nx * 16 + nc) { CASES(1) CASES(COLUMN_VECTORS) CASE(1, 8) }
#undef CASES
#undef CASE
      row += nx;
    }
    column += nc * WIDTH;
  }
  for (; column < columns; column++)
    for (long row = 0; row < rows; row++) {
      float total = 0;
      for (long i = 0; i < inner; i++) total += m[i * m_stride + column] * x[row * x_stride + i];
      float *target = y + row * y_stride + column;
      *target = accumulate ? *target + total : total;
    }
}

#undef V
#undef INLINE
#undef LOAD
