// The products of plain numbers for one vector unit. Included once for each, with
//   WIDTH           floats in a vector
//   WEIGHT_ROWS     rows of weights at a time: as many as the registers hold sums for, with five rows of x
//   COLUMN_VECTORS  vectors of columns at a time, likewise
//   NAME(x)         the name of x for this unit
// Blocks are always_inline with constant sizes, so that their sums live in registers.

typedef float NAME(vector) __attribute__((vector_size(WIDTH * 4), aligned(4), may_alias));
typedef int32_t NAME(integers) __attribute__((vector_size(WIDTH * 4), aligned(4), may_alias));
#define V NAME(vector)
#define I NAME(integers)
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")
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

// IEEE halves at any alignment, exactly. Without an instruction the exponent and mantissa are shifted into a float's
// place and rescaled by 2^-112; a subnormal is the mantissa put below 0.5.
INLINE V NAME(halves)(const void *p) {
#if WIDTH == 16
  return (V)_mm512_cvtph_ps(_mm256_loadu_si256(p));
#elif WIDTH == 8
  return (V)_mm256_cvtph_ps(_mm_loadu_si128(p));
#else
  typedef uint16_t bits __attribute__((vector_size(WIDTH * 2), aligned(1), may_alias));
  const I word = __builtin_convertvector(*(const bits *)p, I) << 16;
  const I sign = word & INT32_MIN, magnitude = word & INT32_MAX;
  const V normal = (V)((magnitude >> 3) + (0xE0 << 23)) * 0x1p-112f;
  const V subnormal = (V)((magnitude >> 16) | (126 << 23)) - 0.5f;
  const I isSubnormal = magnitude < (1 << 26);
  return (V)(sign | (isSubnormal & (I)subnormal) | (~isSubnormal & (I)normal));
#endif
}

INLINE float NAME(half)(const void *p) {
  uint16_t bits[WIDTH] = {0};
  memcpy(bits, p, 2);
  return NAME(halves)(bits)[0];
}

// `nw` <= WEIGHT_ROWS rows of weights with `nx` <= 5 rows of x: the sums, the weights and one operand fit the registers.
// `next` is where the weights lie that come after these: asked for into the second cache while these are used, they come
// at the memory's full speed; into the first, at half of it (Zen 4). What is left below a vector is for `finish_block`.
INLINE void NAME(dot_block)(
    const int nw, const int nx, long inner, const float *x, long x_stride, const float *w, long w_stride,
    const float *next, V sums[WEIGHT_ROWS][5]) {
  for (long i = 0; i + WIDTH <= inner; i += WIDTH) {
    if (next) {
      UNROLL for (int a = 0; a < nw; a++) __builtin_prefetch(next + a * w_stride + i, 0, 2);
    }
    V weights[WEIGHT_ROWS];
    UNROLL for (int a = 0; a < nw; a++) weights[a] = LOAD(w + a * w_stride + i);
    UNROLL for (int b = 0; b < nx; b++) {
      V operand = LOAD(x + b * x_stride + i);
      UNROLL for (int a = 0; a < nw; a++) sums[a][b] += weights[a] * operand;
    }
  }
}

// The sums and the `left` < WIDTH products behind them become values of y.
INLINE void NAME(finish_block)(
    const int nw, const int nx, long left, const float *x, long x_stride, const float *w, long w_stride,
    V sums[WEIGHT_ROWS][5], float *y, long y_stride, bool accumulate) {
  UNROLL for (int b = 0; b < nx; b++) {
    UNROLL for (int a = 0; a < nw; a++) {
      float total = NAME(sum)(sums[a][b]);
      for (long j = 0; j < left; j++) total += w[a * w_stride + j] * x[b * x_stride + j];
      float *target = y + b * y_stride + a;
      *target = accumulate ? *target + total : total;
    }
  }
}

// The next rows of x to take together: six go as three and three, not as five and one.
INLINE long NAME(together)(long left) {
  return left == 6 ? 3 : left < 5 ? left : left == 7 || left == 8 ? 4 : 5;
}

// Calls CASE(nw, nx) with constants, for one or WEIGHT_ROWS rows of weights.
#define CASES(A) CASE(A, 1) CASE(A, 2) CASE(A, 3) CASE(A, 4) CASE(A, 5)
#define DISPATCH(nw, nx) \
  switch ((nw) * 8 + (nx)) { CASES(1) CASES(WEIGHT_ROWS) }

static void NAME(transposed)(
    long rows, long columns, long inner, const float *x, long x_stride, const float *w, float *y, long y_stride,
    bool accumulate) {
  const long whole = inner & -WIDTH;
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
#define CASE(A, B)                                                                                              \
  case (A) * 8 + (B): {                                                                                         \
    V sums[WEIGHT_ROWS][5] = {0};                                                                               \
    NAME(dot_block)(A, B, inner, xs, x_stride, weights, inner, next, sums);                                     \
    NAME(finish_block)                                                                                          \
    (A, B, inner - whole, xs + whole, x_stride, weights + whole, inner, sums, target, y_stride, accumulate);    \
    break;                                                                                                      \
  }
      DISPATCH(nw, nx)
#undef CASE
      row += nx;
    }
  }
}

// A row of M, which holds floats or halves.
INLINE V NAME(load)(const bool isHalf, const char *m) { return isHalf ? NAME(halves)(m) : LOAD(m); }

// `nc` vectors of columns of M with `nx` <= 5 rows of x; `m_stride` in bytes.
INLINE void NAME(plain_block)(
    const bool isHalf, const int nx, const int nc, long inner, const float *x, long x_stride, const char *m,
    long m_stride, float *y, long y_stride, bool accumulate) {
  const int size = isHalf ? 2 : 4;
  V sums[5][8];
  UNROLL for (int b = 0; b < nx; b++) {
    UNROLL for (int c = 0; c < nc; c++) sums[b][c] = (V){0};
  }
  for (long i = 0; i < inner; i++, m += m_stride) {
    // Every row of M is another place in memory: ask for the one that is needed sixteen rows on.
    UNROLL for (int byte = 0; byte < nc * WIDTH * size; byte += 64) __builtin_prefetch(m + 16 * m_stride + byte, 0, 2);
    V columns[8];
    UNROLL for (int c = 0; c < nc; c++) columns[c] = NAME(load)(isHalf, m + c * WIDTH * size);
    UNROLL for (int b = 0; b < nx; b++) {
      const float operand = x[b * x_stride + i];
      UNROLL for (int c = 0; c < nc; c++) sums[b][c] += columns[c] * operand;
    }
  }
  UNROLL for (int b = 0; b < nx; b++) {
    UNROLL for (int c = 0; c < nc; c++) {
      V *target = (V *)(y + b * y_stride + c * WIDTH);
      *target = accumulate ? *target + sums[b][c] : sums[b][c];
    }
  }
}

INLINE void NAME(plain_of)(
    const bool isHalf, long rows, long columns, long inner, const float *x, long x_stride, const char *m, long m_stride,
    float *y, long y_stride, bool accumulate) {
  const int size = isHalf ? 2 : 4;
  m_stride *= size;
  long column = 0;
  while (column + WIDTH <= columns) {
    const long left = (columns - column) / WIDTH;
    const long nc = rows == 1 && left >= 8 ? 8 : left >= COLUMN_VECTORS ? COLUMN_VECTORS : 1;
    for (long row = 0; row < rows;) {
      const long nx = NAME(together)(rows - row);
      const float *xs = x + row * x_stride;
      const char *ms = m + column * size;
      float *target = y + row * y_stride + column;
#define PLAIN(B, C)                                                                                         \
  case (B) * 16 + (C):                                                                                      \
    NAME(plain_block)(isHalf, B, C, inner, xs, x_stride, ms, m_stride, target, y_stride, accumulate);       \
    break;
#define PLAINS(C) PLAIN(1, C) PLAIN(2, C) PLAIN(3, C) PLAIN(4, C) PLAIN(5, C)
      switch (nx * 16 + nc) { PLAINS(1) PLAINS(COLUMN_VECTORS) PLAIN(1, 8) }
#undef PLAINS
#undef PLAIN
      row += nx;
    }
    column += nc * WIDTH;
  }
  for (; column < columns; column++)
    for (long row = 0; row < rows; row++) {
      float total = 0;
      for (long i = 0; i < inner; i++) {
        const char *value = m + i * m_stride + column * size;
        total += (isHalf ? NAME(half)(value) : *(const float *)value) * x[row * x_stride + i];
      }
      float *target = y + row * y_stride + column;
      *target = accumulate ? *target + total : total;
    }
}

static void NAME(plain)(
    long rows, long columns, long inner, const float *x, long x_stride, const float *m, long m_stride, float *y,
    long y_stride, bool accumulate) {
  NAME(plain_of)(false, rows, columns, inner, x, x_stride, (const char *)m, m_stride, y, y_stride, accumulate);
}

static void NAME(plain_half)(
    long rows, long columns, long inner, const float *x, long x_stride, const uint16_t *m, long m_stride, float *y,
    long y_stride, bool accumulate) {
  NAME(plain_of)(true, rows, columns, inner, x, x_stride, (const char *)m, m_stride, y, y_stride, accumulate);
}

// Four streams, since the prefetchers follow several and a core waits for each of its lines.
static void NAME(read)(const uint32_t *words, long count, uint32_t *sum) {
  typedef uint32_t counts __attribute__((vector_size(WIDTH * 4), aligned(4), may_alias));
  const long quarter = count / 4 & -16;
  counts sums[4] = {0};
  for (long i = 0; i < quarter; i += 16) {
    UNROLL for (int stream = 0; stream < 4; stream++) {
      const uint32_t *line = words + stream * quarter + i;
      __builtin_prefetch(line + 256, 0, 2);
      UNROLL for (int j = 0; j < 16; j += WIDTH) sums[stream] += *(const counts *)(line + j);
    }
  }
  const counts all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  *sum = 0;
  UNROLL for (int j = 0; j < WIDTH; j++) *sum += all[j];
  for (long i = 4 * quarter; i < count; i++) *sum += words[i];
}
