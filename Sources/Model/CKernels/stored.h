// Weights as files store them, for one vector unit: their widening, and their products with few rows. Included after
// few_rows.h, with the same names.
//
// A block is decoded into vectors of floats, which are multiplied and added to the sums at once; nothing of a widened
// matrix is written to memory. Every value of every type is exact in a float (the longest, of Q6_K and IQ4_XS, have 11 +
// 7 + 5 bits), so decoding here, `t2_widen` and ggml agree to the bit, fused or not; and as each sum is added up in the
// order of `transposed`, so do the products. The alternative, to round x to 8 bits and sum in integers as llama.cpp does,
// moves a logit by 0.3.
//
// What limits one row is as often the ports of the vector unit as memory, so every instruction counts:
//   - Scales of several blocks are made floats together, ahead, and come from the first cache as broadcast operands.
//   - Levels are unpacked as bytes, 32 at a time, before they are extended to words.
//   - With 16 floats in a register a level of 4 bits is looked up in a table of scale * level + minimum: one instruction
//     for "and", "extend", "convert", "multiply" and "add", since it ignores what is above the fourth bit.
//   - Four rows of weights go together: four chains of sums, and x is loaded once.

#define ROWS_OF_ONE 4
#define SPAN 16  // Blocks of 32 whose scales are made together: a vector of pairs.

typedef float NAME(sixteen) __attribute__((vector_size(64), aligned(4), may_alias));

INLINE I NAME(signed_bytes)(const void *p) {
  typedef int8_t bytes __attribute__((vector_size(WIDTH), aligned(1), may_alias));
  return __builtin_convertvector(*(const bytes *)p, I);
}

INLINE V NAME(floats)(I values) { return __builtin_convertvector(values, V); }

// What was written to `p` is read from memory, as operands that are spread over a vector: without it the compiler takes
// registers apart, with three instructions for each scale.
#define THROUGH_MEMORY(p) __asm__("" : "+r"(p) : : "memory")

#define ONE_BY_ONE __asm__ volatile("" : : : "memory")

// MARK: Scales

// The two halves at the beginning of `count` <= SPAN blocks: a scale, and a minimum or what nobody looks at. Copied one by
// one: the compiler would gather them by shuffles, for which the port that looks up and extends has no time.
INLINE void NAME(scales_of_blocks)(const uint8_t *w, long bytes, long count, float *scales) {
  if (count < SPAN) {
    for (long i = 0; i < count; i++) {
      scales[2 * i] = NAME(half)(w + i * bytes);
      scales[2 * i + 1] = NAME(half)(w + i * bytes + 2);
      ONE_BY_ONE;
    }
    return;
  }
  uint16_t raw[SPAN * 2] __attribute__((aligned(64)));
  UNROLL for (long i = 0; i < SPAN; i++) {
    memcpy(raw + 2 * i, w + i * bytes, 4);
    ONE_BY_ONE;
  }
  UNROLL for (int i = 0; i < 2 * SPAN; i += WIDTH) *(V *)(scales + i) = NAME(halves)(raw + i);
}

// Eight scales of six bits for d, then eight for -dmin, in twelve bytes as Q4_K and Q5_K have them.
INLINE void NAME(scales_of_sixes)(const uint8_t *block, float *scales) {
  const words u = *(const words *)(block + 4);  // Three words, and one of what follows.
  const words whole = (__builtin_shufflevector(u, u, 0, 0, 1, 1) >> (words){0, 2, 0, 2}) &
                      (words){0x3f3f3f3f, 0x30303030, 0x3f3f3f3f, 0x30303030};
  const words sixes = whole | ((__builtin_shufflevector(u, u, 2, 2, 2, 2) >> (words){0, 0, 0, 4}) &
                               (words){0, 0x0f0f0f0f, 0, 0x0f0f0f0f});
  const float d = NAME(half)(block), m = -NAME(half)(block + 2);
  const NAME(sixteen) factors = {d, d, d, d, d, d, d, d, m, m, m, m, m, m, m, m};
  *(NAME(sixteen) *)scales = __builtin_convertvector((bytes16)sixes, NAME(sixteen)) * factors;
}

// The scales and minimums of `count` blocks at `w`, for `scale` and `minimum`.
INLINE void NAME(prepare)(const enum t2_weight_type type, const uint8_t *w, long count, float *scales) {
  NAME(sixteen) *first = (NAME(sixteen) *)scales, *second = first + 1;
  switch (type) {
    case T2_F32: case T2_F16: case T2_BF16: case T2_F64: break;
    case T2_Q8_0: NAME(scales_of_blocks)(w, 34, count, scales); break;
    case T2_Q4_0: case T2_IQ4_NL: NAME(scales_of_blocks)(w, 18, count, scales); break;
    case T2_Q4_1: NAME(scales_of_blocks)(w, 20, count, scales); break;
    case T2_Q5_0: NAME(scales_of_blocks)(w, 22, count, scales); break;
    case T2_Q5_1: NAME(scales_of_blocks)(w, 24, count, scales); break;
    case T2_Q2_K: {
      const bytes16 pairs = *(const bytes16 *)w;
      *first = __builtin_convertvector(pairs & 15, NAME(sixteen)) * NAME(half)(w + 80);
      *second = __builtin_convertvector(pairs >> 4, NAME(sixteen)) * -NAME(half)(w + 82);
      break;
    }
    case T2_Q3_K: {
      uint32_t u[3];
      memcpy(u, w + 96, 12);
      const words sixes = {
          (u[0] & 0x0f0f0f0f) | ((u[2] << 4) & 0x30303030), (u[1] & 0x0f0f0f0f) | ((u[2] << 2) & 0x30303030),
          ((u[0] >> 4) & 0x0f0f0f0f) | (u[2] & 0x30303030), ((u[1] >> 4) & 0x0f0f0f0f) | ((u[2] >> 2) & 0x30303030)};
      *first = (__builtin_convertvector((bytes16)sixes, NAME(sixteen)) - 32.0f) * NAME(half)(w + 108);
      break;
    }
    case T2_Q4_K: case T2_Q5_K: NAME(scales_of_sixes)(w, scales); break;
    case T2_Q6_K:
      *first = __builtin_convertvector(*(const signed16 *)(w + 192), NAME(sixteen)) * NAME(half)(w + 208);
      break;
    case T2_IQ4_XS: {
      const int high = w[2] | w[3] << 8;
      const float d = NAME(half)(w);
      for (int i = 0; i < 8; i++)
        scales[i] = d * (float)(((w[4 + i / 2] >> (4 * (i & 1)) & 15) | (high >> (2 * i) & 3) << 4) - 32);
      break;
    }
  }
}

// Whether a value is scale * level + minimum, and not scale * level.
INLINE bool NAME(has_minimum)(const enum t2_weight_type type) {
  return type == T2_Q4_1 || type == T2_Q5_1 || type == T2_Q2_K || type == T2_Q4_K || type == T2_Q5_K;
}

// The scale and the minimum for the values from the `i`-th on of the `step`-th part, which has `count`.
INLINE float NAME(scale)(const enum t2_weight_type type, const float *scales, long step, const int count, const int i) {
  switch (type) {
    case T2_Q2_K: case T2_Q3_K: case T2_Q6_K: return scales[step * (count / 16) + i / 16];
    case T2_Q4_K: case T2_Q5_K: case T2_IQ4_XS: return scales[step * (count / 32) + i / 32];
    default: return scales[2 * step];
  }
}

INLINE float NAME(minimum)(
    const enum t2_weight_type type, const float *scales, long step, const int count, const int i) {
  const int offset = type == T2_Q2_K ? 16 : type == T2_Q4_K || type == T2_Q5_K ? 8 : 1;
  return NAME(scale)(type, scales + offset, step, count, i);
}

// MARK: Levels

// Values that `decode` gives at a time.
INLINE int NAME(step)(const enum t2_weight_type type) {
  switch (type) {
    case T2_F32: case T2_F16: case T2_BF16: case T2_F64: return WIDTH;
    case T2_Q4_K: case T2_Q5_K: return 64;
    case T2_Q2_K: case T2_Q3_K: case T2_Q6_K: return 128;
    default: return 32;
  }
}

// Sixteen bytes hold 32 levels: the low halves first, then the high ones.
INLINE bytes32 NAME(nibbles)(const uint8_t *p) {
  const bytes16 pairs = *(const bytes16 *)p;
  return __builtin_shufflevector(
             pairs, pairs >> 4, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
             26, 27, 28, 29, 30, 31) & 15;
}

// All bits where the bit of the word at `p` is set, in bytes.
INLINE bytes32 NAME(where_set)(const uint8_t *p) {
  typedef uint32_t words8 __attribute__((vector_size(32)));
  uint32_t word;
  memcpy(&word, p, 4);
  const bytes32 spread = (bytes32)((words8){0} + word);
  const bytes32 bytes = __builtin_shufflevector(
      spread, spread, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
  const bytes32 bits = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128,
                        1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  return (bytes32)((bytes & bits) != 0);
}

INLINE bytes32 NAME(of_codebook)(bytes32 levels) {
#if WIDTH >= 8
  return (bytes32)_mm256_shuffle_epi8(
      _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)codebook)), (__m256i)levels);
#else
  uint8_t values[32];
  memcpy(values, &levels, 32);
  for (int i = 0; i < 32; i++) values[i] = (uint8_t)codebook[values[i]];
  return *(const bytes32 *)values;
#endif
}

// The levels, as signed bytes, of the `step`-th part of the blocks at `w`.
INLINE void NAME(unpack)(const enum t2_weight_type type, const uint8_t *w, long step, bytes32 *levels) {
#define BYTES(p) (*(const bytes32 *)(p))
  switch (type) {
    case T2_F32: case T2_F16: case T2_BF16: case T2_F64: break;
    case T2_Q8_0: *levels = BYTES(w + 34 * step + 2); break;
    case T2_Q4_0: *levels = NAME(nibbles)(w + 18 * step + 2) - 8; break;
    case T2_Q4_1: *levels = NAME(nibbles)(w + 20 * step + 4); break;
    case T2_Q5_0: *levels = NAME(nibbles)(w + 22 * step + 6) | (~NAME(where_set)(w + 22 * step + 2) & 0xf0); break;
    case T2_Q5_1: *levels = NAME(nibbles)(w + 24 * step + 8) | (NAME(where_set)(w + 24 * step + 4) & 16); break;
    case T2_IQ4_NL: *levels = NAME(of_codebook)(NAME(nibbles)(w + 18 * step + 2)); break;
    case T2_IQ4_XS: *levels = NAME(of_codebook)(NAME(nibbles)(w + 16 * step + 8)); break;
    case T2_Q4_K: {
      const bytes32 pairs = BYTES(w + 16 + 32 * step);
      levels[0] = pairs & 15, levels[1] = pairs >> 4;
      break;
    }
    case T2_Q5_K: {
      const bytes32 pairs = BYTES(w + 48 + 32 * step), fifths = BYTES(w + 16);
      const uint8_t bit = (uint8_t)(1 << (2 * step));
      levels[0] = (pairs & 15) | ((bytes32)((fifths & bit) != 0) & 16);
      levels[1] = (pairs >> 4) | ((bytes32)((fifths & (uint8_t)(2 * bit)) != 0) & 16);
      break;
    }
    // Byte j of 32 has value j in its lowest two bits, then j + 32, j + 64 and j + 96.
    case T2_Q2_K: {
      const bytes32 fours = BYTES(w + 16 + 32 * step);
      UNROLL for (int k = 0; k < 4; k++) levels[k] = (fours >> (2 * k)) & 3;
      break;
    }
    case T2_Q3_K: {
      const bytes32 fours = BYTES(w + 32 + 32 * step), thirds = BYTES(w);
      UNROLL for (int k = 0; k < 4; k++) {
        const uint8_t bit = (uint8_t)(1 << (4 * step + k));
        levels[k] = ((fours >> (2 * k)) & 3) - ((bytes32)((thirds & bit) == 0) & 4);
      }
      break;
    }
    // Byte j of 64 has value j in its low half and j + 64 in the high one; byte j of 32 two bits of j, j + 32, ...
    case T2_Q6_K: {
      const bytes32 fours = BYTES(w + 128 + 32 * step);
      UNROLL for (int k = 0; k < 2; k++) {
        const bytes32 pairs = BYTES(w + 64 * step + 32 * k);
        levels[k] = ((pairs & 15) | ((fours << (4 - 2 * k)) & 48)) - 32;
        levels[k + 2] = ((pairs >> 4) | ((fours >> (2 * k)) & 48)) - 32;
      }
      break;
    }
  }
#undef BYTES
}

#if WIDTH == 16
// The bytes of the step's four-bit levels; none where a type has others.
INLINE const uint8_t *NAME(pairs)(const enum t2_weight_type type, const uint8_t *w, long step) {
  switch (type) {
    case T2_Q4_0: case T2_IQ4_NL: return w + 18 * step + 2;
    case T2_Q4_1: return w + 20 * step + 4;
    case T2_IQ4_XS: return w + 16 * step + 8;
    case T2_Q4_K: return w + 32 * step + 16;
    default: return 0;
  }
}

// The values of the levels 0 to 15.
INLINE V NAME(table)(const enum t2_weight_type type, const float *scales, long step, const int count, const int i) {
  const bool hasCodebook = type == T2_IQ4_NL || type == T2_IQ4_XS;
  V levels = NAME(floats)(NAME(signed_bytes)(hasCodebook ? codebook : counting));
  if (type == T2_Q4_0) levels -= 8.0f;
  const V table = levels * NAME(scale)(type, scales, step, count, i);
  return NAME(has_minimum)(type) ? table + NAME(minimum)(type, scales, step, count, i) : table;
}
#endif

// MARK: Values

// The values of the `step`-th part of what `scales` was prepared for: `w` is the beginning of all that.
INLINE void NAME(decode)(const enum t2_weight_type type, const uint8_t *w, const float *scales, long step, V *out) {
  const int count = NAME(step)(type);
  switch (type) {
    case T2_F32: {
      typedef float unaligned __attribute__((vector_size(WIDTH * 4), aligned(1), may_alias));
      *out = *(const unaligned *)(w + step * WIDTH * 4);
      return;
    }
    case T2_F16: *out = NAME(halves)(w + step * WIDTH * 2); return;
    case T2_BF16: {
      typedef uint16_t bits __attribute__((vector_size(WIDTH * 2), aligned(1), may_alias));
      *out = (V)(__builtin_convertvector(*(const bits *)(w + step * WIDTH * 2), I) << 16);
      return;
    }
    case T2_F64: {
      typedef double doubles __attribute__((vector_size(WIDTH * 8), aligned(1), may_alias));
      *out = __builtin_convertvector(*(const doubles *)(w + step * WIDTH * 8), V);
      return;
    }
    default: break;
  }
#if WIDTH == 16
  const uint8_t *pairs = NAME(pairs)(type, w, step);
  if (pairs) {
    typedef uint8_t bytes __attribute__((vector_size(WIDTH), aligned(1), may_alias));
    const V low = NAME(table)(type, scales, step, count, 0);
    const V high = count == 64 ? NAME(table)(type, scales, step, count, 32) : low;
    UNROLL for (int i = 0; i < count / 32; i++) {
      const I both = __builtin_convertvector(*(const bytes *)(pairs + i * WIDTH), I);
      out[i] = (V)_mm512_permutexvar_ps((__m512i)both, (__m512)low);
      out[count / 32 + i] = (V)_mm512_permutexvar_ps((__m512i)(both >> 4), (__m512)high);
    }
    return;
  }
#endif
  bytes32 levels[4] __attribute__((aligned(64)));
  const uint8_t *level = (const uint8_t *)levels;
  if (type == T2_Q8_0) {
    level = w + 34 * step + 2;
  } else {
    NAME(unpack)(type, w, step, levels);
  }
  UNROLL for (int i = 0; i < count; i += WIDTH) {
    const V product = NAME(floats)(NAME(signed_bytes)(level + i)) * NAME(scale)(type, scales, step, count, i);
    out[i / WIDTH] = NAME(has_minimum)(type) ? product + NAME(minimum)(type, scales, step, count, i) : product;
  }
}

// The one number at `w`, of the types that have no blocks.
INLINE float NAME(element)(const enum t2_weight_type type, const uint8_t *w) {
  uint16_t bits;
  float value;
  double wide;
  switch (type) {
    case T2_F16: return NAME(half)(w);
    case T2_BF16: {
      memcpy(&bits, w, 2);
      const uint32_t word = (uint32_t)bits << 16;
      memcpy(&value, &word, 4);
      return value;
    }
    case T2_F64: memcpy(&wide, w, 8); return (float)wide;
    default: memcpy(&value, w, 4); return value;
  }
}

// MARK: Widening and products

// Where the scales are prepared from that the blocks from `block` on need: where a row ends with more than a few blocks,
// a whole span is faster, and so begins with some that are done.
INLINE long NAME(span_start)(long block, long blocks) {
  const long left = blocks - block;
  return left > 4 && left < SPAN && blocks >= SPAN ? blocks - SPAN : block;
}

// The `count` values at `w`, whole blocks.
INLINE void NAME(widen_of)(
    const enum t2_weight_type type, const int values, const int bytes, const uint8_t *w, long count, float *out) {
  const int step = NAME(step)(type);
  if (values == 1) {
    const long steps = count / step;
    for (long i = 0; i < steps; i++) NAME(decode)(type, w, 0, i, (V *)out + i);
    for (long i = steps * step; i < count; i++) out[i] = NAME(element)(type, w + i * bytes);
    return;
  }
  float scales[2 * SPAN] __attribute__((aligned(64)));
  const long blocks = count / values, span = values == 32 ? SPAN : 1;
  for (long block = 0; block < blocks; block += span) {
    const long start = values == 32 ? NAME(span_start)(block, blocks) : block;
    const long end = blocks - block < span ? blocks : block + span;
    NAME(prepare)(type, w + start * bytes, end - start, scales);
    for (long i = (block - start) * (values / step); i < (end - start) * (values / step); i++, out += step)
      NAME(decode)(type, w + start * bytes, scales, i, (V *)out);
  }
}

// Products of one row of x with `nw` rows of weights. `ahead` is the distance in bytes to the weights that come after.
INLINE void NAME(one_row_block)(
    const enum t2_weight_type type, const int values, const int bytes, const int nw, long inner, const float *x,
    const uint8_t *w, long w_stride, long ahead, float *y, bool accumulate) {
  const int step = NAME(step)(type), step_bytes = step * bytes / values;
  V sums[ROWS_OF_ONE] = {0};
  V out[128 / WIDTH];
  float scales[ROWS_OF_ONE][2 * SPAN] __attribute__((aligned(64)));
  const float *prepared = scales[0];
  const long blocks = values == 1 ? inner / step : inner / values, span = values == 32 ? SPAN : values == 1 ? blocks : 1;
  long done = 0;  // Of x.
  for (long block = 0; block < blocks; block += span) {
    const long start = values == 32 ? NAME(span_start)(block, blocks) : block;
    const long end = blocks - block < span ? blocks : block + span;
    const long steps = values == 1 ? 1 : values / step;  // In a block.
    const uint8_t *base = values == 1 ? w : w + start * bytes;
    if (values > 1) {
      UNROLL for (int a = 0; a < nw; a++) NAME(prepare)(type, base + a * w_stride, end - start, scales[a]);
      THROUGH_MEMORY(prepared);
    }
    for (long i = (block - start) * steps; i < (end - start) * steps; i++, done += step) {
      UNROLL for (int a = 0; a < nw; a++) {
        const uint8_t *row = base + a * w_stride;
        UNROLL for (int line = 0; line < step_bytes; line += 64)
          __builtin_prefetch(row + ahead + i * step_bytes + line, 0, 2);
        NAME(decode)(type, row, prepared + a * 2 * SPAN, i, out);
        UNROLL for (int v = 0; v < step / WIDTH; v++) sums[a] += out[v] * LOAD(x + done + v * WIDTH);
      }
    }
  }
  UNROLL for (int a = 0; a < nw; a++) {
    float total = NAME(sum)(sums[a]);
    if (values == 1)
      for (long j = done; j < inner; j++) total += NAME(element)(type, w + a * w_stride + j * bytes) * x[j];
    y[a] = accumulate ? y[a] + total : total;
  }
}

INLINE void NAME(one_row_of)(
    const enum t2_weight_type type, const int values, const int bytes, long columns, long inner, const float *x,
    const uint8_t *w, long w_stride, float *y, bool accumulate) {
  // Asked for some pages ahead where rows are short: the next four would come too late.
  const long four = ROWS_OF_ONE * w_stride, ahead = four * (four < 8192 ? 8192 / (four + 1) + 1 : 1);
  long column = 0;
  for (; column + ROWS_OF_ONE <= columns; column += ROWS_OF_ONE)
    NAME(one_row_block)
    (type, values, bytes, ROWS_OF_ONE, inner, x, w + column * w_stride, w_stride, ahead, y + column, accumulate);
  for (; column < columns; column++)
    NAME(one_row_block)(type, values, bytes, 1, inner, x, w + column * w_stride, w_stride, 0, y + column, accumulate);
}

#define T2_INSTANCE(T, VALUES, BYTES)                                                                            \
  static void NAME(widen_##T)(const uint8_t *w, long count, float *out) {                                        \
    NAME(widen_of)(T2_##T, VALUES, BYTES, w, count, out);                                                        \
  }                                                                                                              \
  static void NAME(one_row_##T)(                                                                                 \
      long columns, long inner, const float *x, const uint8_t *w, long w_stride, float *y, bool accumulate) {    \
    NAME(one_row_of)(T2_##T, VALUES, BYTES, columns, inner, x, w, w_stride, y, accumulate);                      \
  }
T2_WEIGHT_TYPES(T2_INSTANCE)
#undef T2_INSTANCE

// Rows of x that share one widening, at most; and the values of a row of weights that are widened at a time, so that
// they and as much of five rows of x stay in the first cache.
#define SHARING 24
#define CHUNK 1024

// More rows than one: pieces of the weights are widened into the first cache, and all rows of x pass over them. The sums
// wait in memory from one piece to the next, so that their order is that of one row.
static void NAME(several_rows)(
    void (*widen)(const uint8_t *, long, float *), long values, long bytes, long rows, long columns, long inner,
    const float *x, long x_stride, const uint8_t *w, long w_stride, float *y, long y_stride, bool accumulate) {
  float piece[WEIGHT_ROWS * CHUNK] __attribute__((aligned(64)));
  V waiting[SHARING / 4][WEIGHT_ROWS][5];
  long nw = WEIGHT_ROWS;
  for (long column = 0; column < columns; column += nw, w += nw * w_stride) {
    if (columns - column < WEIGHT_ROWS) nw = 1;
    memset(waiting, 0, sizeof waiting);
    long start = 0;
    do {
      const long count = inner - start < CHUNK ? inner - start : CHUNK, whole = count & -WIDTH;
      const bool isLast = start + count == inner;
      for (long a = 0; a < nw; a++) widen(w + a * w_stride + start / values * bytes, count, piece + a * CHUNK);
      for (long row = 0, group = 0; row < rows; group++) {
        const float *xs = x + row * x_stride + start;
        float *target = y + row * y_stride + column;
        const long nx = NAME(together)(rows - row);
#define CASE(A, B)                                                                                                   \
  case (A) * 8 + (B): {                                                                                              \
    V sums[WEIGHT_ROWS][5];                                                                                          \
    memcpy(sums, waiting[group], sizeof sums);                                                                       \
    NAME(dot_block)(A, B, count, xs, x_stride, piece, CHUNK, 0, sums);                                               \
    if (isLast)                                                                                                      \
      NAME(finish_block)                                                                                             \
      (A, B, count - whole, xs + whole, x_stride, piece + whole, CHUNK, sums, target, y_stride, accumulate);         \
    else                                                                                                             \
      memcpy(waiting[group], sums, sizeof sums);                                                                     \
    break;                                                                                                           \
  }
        DISPATCH(nw, nx)
#undef CASE
        row += nx;
      }
      start += count;
    } while (start < inner);
  }
}

#define T2_ENTRY(T, VALUES, BYTES) NAME(widen_##T),
static void (*const NAME(widenings)[])(const uint8_t *, long, float *) = {T2_WEIGHT_TYPES(T2_ENTRY)};
#undef T2_ENTRY
#define T2_ENTRY(T, VALUES, BYTES) NAME(one_row_##T),
static void (*const NAME(one_rows)[])(long, long, const float *, const uint8_t *, long, float *, bool) = {
    T2_WEIGHT_TYPES(T2_ENTRY)};
#undef T2_ENTRY

static void NAME(stored)(
    enum t2_weight_type type, long rows, long columns, long inner, const float *x, long x_stride, const void *w,
    long w_stride, float *y, long y_stride, bool accumulate) {
  if (rows == 1) return NAME(one_rows)[type](columns, inner, x, w, w_stride, y, accumulate);
  for (long row = 0; row < rows; row += SHARING)
    NAME(several_rows)
    (NAME(widenings)[type], t2_block_values(type), t2_block_bytes(type), rows - row < SHARING ? rows - row : SHARING,
     columns, inner, x + row * x_stride, x_stride, w, w_stride, y + row * y_stride, y_stride, accumulate);
}

static void NAME(widen)(
    enum t2_weight_type type, long rows, long inner, const void *w, long w_stride, float *out, long out_stride) {
  for (long row = 0; row < rows; row++)
    NAME(widenings)[type]((const uint8_t *)w + row * w_stride, inner, out + row * out_stride);
}
