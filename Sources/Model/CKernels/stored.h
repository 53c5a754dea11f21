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
//   - What a block needs before its values can be computed, scales as floats and levels as bytes, is made ready one piece
//     ahead and waits in the first cache: made where it is used, all else would wait for it.
//   - Scales of several blocks are made floats together, and come from the first cache as broadcast operands.
//   - Levels are unpacked as bytes, 32 or 64 at a time, before they are extended to words.
//   - With 16 floats in a register a level of 4 bits is looked up in a table of scale * level + minimum: one instruction
//     for "and", "extend", "convert", "multiply" and "add", since it ignores what is above the fourth bit.
//   - Four rows of weights go together, sixteen values of each in turn: four chains of sums, and x is loaded once. They are
//     the next rows of the four quarters of W, so that four streams run through memory without a jump, as `read` has them:
//     four neighbouring rows come at two thirds of the speed, whatever is asked for ahead.

#define ROWS_OF_ONE 4
#define SPAN 16  // Blocks of 32 whose scales are made together: a vector of pairs.
#define AHEAD 2048  // Bytes before its use that a line is asked for.

typedef float NAME(sixteen) __attribute__((vector_size(64), aligned(4), may_alias));

INLINE I NAME(signed_bytes)(const void *p) {
  typedef int8_t bytes __attribute__((vector_size(WIDTH), aligned(1), may_alias));
  return __builtin_convertvector(*(const bytes *)p, I);
}

INLINE I NAME(unsigned_bytes)(const void *p) {
  typedef uint8_t bytes __attribute__((vector_size(WIDTH), aligned(1), may_alias));
  return __builtin_convertvector(*(const bytes *)p, I);
}

INLINE V NAME(floats)(I values) { return __builtin_convertvector(values, V); }

// What was written to `p` is read from memory, as operands that are spread over a vector: without it the compiler takes
// registers apart, with three instructions for each scale.
#define THROUGH_MEMORY(p) __asm__("" : "+r"(p) : : "memory")

#define ONE_BY_ONE __asm__ volatile("" : : : "memory")

// MARK: Scales

// What is made ready of some blocks of a row: their scales and minimums, and their levels as bytes where those are not
// read as they are stored.
typedef struct {
  float scales[2 * SPAN] __attribute__((aligned(64)));
  uint8_t levels[SPAN * 32];
} NAME(piece);

// The two halves at the beginning of `count` <= SPAN blocks: a scale, and a minimum or what nobody looks at.
INLINE void NAME(scales_of_blocks)(const uint8_t *w, const int bytes, long count, float *scales) {
  if (count < SPAN) {
    for (long i = 0; i < count; i++) {
      scales[2 * i] = NAME(half)(w + i * bytes);
      scales[2 * i + 1] = NAME(half)(w + i * bytes + 2);
      ONE_BY_ONE;
    }
    return;
  }
  uint16_t raw[SPAN * 2] __attribute__((aligned(64)));
#if WIDTH == 16
  // Picked from 64 bytes at a time: one instruction for three or four blocks.
  typedef uint16_t picks __attribute__((vector_size(64)));
  __m512i picked = _mm512_setzero_si512();
  UNROLL for (int line = 0; line < SPAN * bytes; line += 64) {
    const int start = line + 64 <= SPAN * bytes ? line : SPAN * bytes - 64;
    picks from = {0};
    uint32_t here = 0;
    UNROLL for (int i = 0; i < 2 * SPAN; i++) {
      const int place = i / 2 * bytes + i % 2 * 2;
      if (place >= line && place < line + 64) {
        here |= 1u << i;
        from[i] = (uint16_t)((place - start) / 2);
      }
    }
    picked = _mm512_mask_permutexvar_epi16(picked, here, (__m512i)from, _mm512_loadu_si512(w + start));
  }
  _mm512_store_si512(raw, picked);
#else
  UNROLL for (long i = 0; i < SPAN; i++) {
    memcpy(raw + 2 * i, w + i * bytes, 4);
    ONE_BY_ONE;
  }
#endif
  UNROLL for (int i = 0; i < 2 * SPAN; i += WIDTH) *(V *)(scales + i) = NAME(halves)(raw + i);
}

// Eight scales of six bits for d, then eight for dmin, in the twelve bytes behind these two, as Q4_K and Q5_K have them: of
// one block in each of `nw` rows, whose bits are taken apart together.
INLINE void NAME(scales_of_sixes)(const int nw, const uint8_t *block, long stride, NAME(piece) *pieces) {
  words headers[4] = {0};
  UNROLL for (int a = 0; a < nw; a++) headers[a] = *(const words *)(block + a * stride);
  const words16 u = *(const words16 *)headers;
#define OF_EACH(A, B, C, D) ((words16){A, B, C, D, A, B, C, D, A, B, C, D, A, B, C, D})
  const words16 whole =
      (__builtin_shufflevector(u, u, 1, 1, 2, 2, 5, 5, 6, 6, 9, 9, 10, 10, 13, 13, 14, 14) >> OF_EACH(0, 2, 0, 2)) &
      OF_EACH(0x3f3f3f3f, 0x30303030, 0x3f3f3f3f, 0x30303030);
  const words16 rest =
      (__builtin_shufflevector(u, u, 3, 3, 3, 3, 7, 7, 7, 7, 11, 11, 11, 11, 15, 15, 15, 15) >> OF_EACH(0, 0, 0, 4)) &
      OF_EACH(0, 0x0f0f0f0f, 0, 0x0f0f0f0f);
#undef OF_EACH
  const words16 sixes = whole | rest;
  const bytes16 *bytes = (const bytes16 *)&sixes;
  THROUGH_MEMORY(bytes);
  UNROLL for (int a = 0; a < nw; a++) {
    const V both = NAME(halves)(block + a * stride);  // And some numbers behind the two.
    const NAME(sixteen) factors = __builtin_shufflevector(both, both, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    *(NAME(sixteen) *)pieces[a].scales = __builtin_convertvector(bytes[a], NAME(sixteen)) * factors;
  }
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
      *second = __builtin_convertvector(pairs >> 4, NAME(sixteen)) * NAME(half)(w + 82);
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
    case T2_Q4_K: case T2_Q5_K: break;  // `scales_of_sixes`, for several rows together.
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

// The scale and the minimum for the values from the `i`-th on of the `step`-th part, which has `count`.
INLINE float NAME(scale)(const enum t2_weight_type type, const float *scales, long step, const int count, const int i) {
  switch (type) {
    case T2_Q2_K: case T2_Q3_K: case T2_Q6_K: return scales[step * (count / 16) + i / 16];
    case T2_Q4_K: case T2_Q5_K: case T2_IQ4_XS: return scales[step * (count / 32) + i / 32];
    default: return scales[2 * step];
  }
}

// Whether a type has minimums; its levels are not negative then.
INLINE bool NAME(has_minimum)(const enum t2_weight_type type) {
  return type == T2_Q4_1 || type == T2_Q5_1 || type == T2_Q2_K || type == T2_Q4_K || type == T2_Q5_K;
}

// What levels stand for: scale * level, and the minimum added, or taken away in K-quants.
INLINE V NAME(scaled)(
    const enum t2_weight_type type, V levels, const float *scales, long step, const int count, const int i) {
  const V product = levels * NAME(scale)(type, scales, step, count, i);
  if (!NAME(has_minimum)(type)) return product;
  const int offset = type == T2_Q2_K ? 16 : type == T2_Q4_K || type == T2_Q5_K ? 8 : 1;
  const float minimum = NAME(scale)(type, scales + offset, step, count, i);
  return offset > 1 ? product - minimum : product + minimum;
}

// MARK: Levels

// Values that are computed in one turn of a loop.
INLINE int NAME(step)(const enum t2_weight_type type) {
  switch (type) {
    case T2_F32: case T2_F16: case T2_BF16: case T2_F64: return WIDTH;
    case T2_Q4_K: return 64;
    case T2_Q2_K: case T2_Q3_K: case T2_Q5_K: case T2_Q6_K: return 128;
    default: return 32;
  }
}

// Sixteen bytes hold 32 levels: the low halves first, then the high ones.
INLINE bytes32 NAME(nibbles)(const uint8_t *p) {
  typedef uint64_t quads __attribute__((vector_size(32)));
  const bytes16 pairs = *(const bytes16 *)p;
  const quads twice = (quads)__builtin_shufflevector(
      pairs, pairs, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
      15);
  return (bytes32)(twice >> (quads){0, 0, 4, 4}) & 15;
}

// All bits where the bit of the word at `p` is set, in bytes.
INLINE bytes32 NAME(where_set)(const uint8_t *p) {
  uint32_t word;
  memcpy(&word, p, 4);
#if WIDTH == 16
  return (bytes32)_mm256_movm_epi8(word);
#else
  typedef uint32_t words8 __attribute__((vector_size(32)));
  const bytes32 spread = (bytes32)((words8){0} + word);
  const bytes32 bytes = __builtin_shufflevector(
      spread, spread, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
  const bytes32 bits = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128,
                        1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  return (bytes32)((bytes & bits) != 0);
#endif
}

// The 32 bytes at `p` twice, as words; each half is shifted by its own number.
INLINE words16 NAME(twice)(const uint8_t *p) {
  const words8 once = *(const words8 *)p;
  return __builtin_shufflevector(once, once, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7);
}
#define EACH_HALF(A, B) ((words16){A, A, A, A, A, A, A, A, B, B, B, B, B, B, B, B})

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

// The levels of the block at `w`, as signed bytes.
INLINE void NAME(unpack)(const enum t2_weight_type type, const uint8_t *w, uint8_t *out) {
#define BYTES(p) (*(const bytes32 *)(p))
#define PAIRS(p) (*(const bytes64 *)(p))
  bytes32 *levels = (bytes32 *)out;
  bytes64 *wide = (bytes64 *)out;
  switch (type) {
    case T2_F32: case T2_F16: case T2_BF16: case T2_F64: break;
    case T2_Q8_0: *levels = BYTES(w + 2); break;
    case T2_Q4_0: *levels = NAME(nibbles)(w + 2) - 8; break;
    case T2_Q4_1: *levels = NAME(nibbles)(w + 4); break;
    case T2_Q5_0: *levels = NAME(nibbles)(w + 6) | (~NAME(where_set)(w + 2) & 0xf0); break;
    case T2_Q5_1: *levels = NAME(nibbles)(w + 8) | (NAME(where_set)(w + 4) & 16); break;
    case T2_IQ4_NL: *levels = NAME(of_codebook)(NAME(nibbles)(w + 2)); break;
    case T2_IQ4_XS:
      UNROLL for (int k = 0; k < 8; k++) levels[k] = NAME(of_codebook)(NAME(nibbles)(w + 16 * k + 8));
      break;
    case T2_Q4_K:
      UNROLL for (int k = 0; k < 4; k++) {
        const bytes32 pairs = BYTES(w + 16 + 32 * k);
        levels[2 * k] = pairs & 15, levels[2 * k + 1] = pairs >> 4;
      }
      break;
    // As Q4_K; byte j of 32 has the fifth bits of the values j, j + 32, j + 64, ...
    case T2_Q5_K: {
      const words16 fifths = NAME(twice)(w + 16);
      const words16 places[4] = {
          fifths << EACH_HALF(4, 2), fifths << EACH_HALF(3, 1), fifths >> EACH_HALF(0, 2), fifths >> EACH_HALF(1, 3)};
      UNROLL for (int k = 0; k < 2; k++) {
        const bytes64 pairs = PAIRS(w + 48 + 64 * k);
        const bytes64 low = (pairs & 15) | ((bytes64)places[2 * k] & 16);
        const bytes64 high = (pairs >> 4) | ((bytes64)places[2 * k + 1] & 16);
        UNROLL for (int half = 0; half < 2; half++) {
          levels[4 * k + 2 * half] = ((const bytes32 *)&low)[half];
          levels[4 * k + 2 * half + 1] = ((const bytes32 *)&high)[half];
        }
      }
      break;
    }
    // Byte j of 32 has value j in its lowest two bits, then j + 32, j + 64 and j + 96.
    case T2_Q2_K:
      UNROLL for (int k = 0; k < 8; k++) levels[k] = (BYTES(w + 16 + k / 4 * 32) >> (k % 4 * 2)) & 3;
      break;
    // The same, and byte j of 32 has the third bits of the values j, j + 32, j + 64, ...
    case T2_Q3_K:
      UNROLL for (int k = 0; k < 8; k++) {
        const bytes32 lacks = (bytes32)((BYTES(w) & (uint8_t)(1 << k)) == 0);
        levels[k] = ((BYTES(w + 32 + k / 4 * 32) >> (k % 4 * 2)) & 3) - (lacks & 4);
      }
      break;
    // Byte j of 64 has value j in its low half and j + 64 in the high one; byte j of 32 two bits of j, j + 32, ...
    case T2_Q6_K:
      UNROLL for (int k = 0; k < 2; k++) {
        const bytes64 pairs = PAIRS(w + 64 * k);
        const words16 fours = NAME(twice)(w + 128 + 32 * k);
        wide[2 * k] = ((pairs & 15) | ((bytes64)(fours << EACH_HALF(4, 2)) & 48)) - 32;
        wide[2 * k + 1] = ((pairs >> 4) | ((bytes64)(fours >> EACH_HALF(0, 2)) & 48)) - 32;
      }
      break;
  }
#undef BYTES
#undef PAIRS
}

// MARK: Values

// The bytes of the `step`-th part's four-bit levels, where these are read as they are stored; 0 where they are not.
INLINE const uint8_t *NAME(pairs)(const enum t2_weight_type type, const uint8_t *w, long step) {
  if (WIDTH == 8) return 0;
  switch (type) {
    case T2_Q4_0: return w + 18 * step + 2;
    case T2_Q4_1: return w + 20 * step + 4;
    case T2_Q4_K: return w + 32 * step + 16;
    case T2_IQ4_NL: return WIDTH == 16 ? w + 18 * step + 2 : 0;
    case T2_IQ4_XS: return WIDTH == 16 ? w + 16 * step + 8 : 0;
    default: return 0;
  }
}

// Makes `count` blocks ready in each of `nw` rows.
INLINE void NAME(make_ready)(
    const enum t2_weight_type type, const int values, const int bytes, const int nw, const uint8_t *w, long w_stride,
    long count, NAME(piece) *pieces) {
  if (type == T2_Q4_K || type == T2_Q5_K) NAME(scales_of_sixes)(nw, w, w_stride, pieces);
  UNROLL for (int a = 0; a < nw; a++, w += w_stride) {
    NAME(prepare)(type, w, count, pieces[a].scales);
    if (type == T2_Q8_0 || NAME(pairs)(type, w, 0)) continue;
    for (long i = 0; i < count; i++) NAME(unpack)(type, w + i * bytes, pieces[a].levels + i * values);
  }
}

// The values of the levels 0 to 15, for those from the `i`-th on.
INLINE V NAME(table)(const enum t2_weight_type type, const float *scales, long step, const int count, const int i) {
  const bool hasCodebook = type == T2_IQ4_NL || type == T2_IQ4_XS;
  V levels = NAME(floats)(NAME(signed_bytes)(hasCodebook ? codebook : counting));
  if (type == T2_Q4_0) levels -= 8.0f;
  return NAME(scaled)(type, levels, scales, step, count, i);
}

// A vector of the values of the blocks at `w`, of which `piece` was made: from the `i`-th value of the `step`-th part on.
INLINE V NAME(value)(
    const enum t2_weight_type type, const uint8_t *w, const NAME(piece) *piece, long step, const int i) {
  const int count = NAME(step)(type);
  switch (type) {
    case T2_F32: {
      typedef float unaligned __attribute__((vector_size(WIDTH * 4), aligned(1), may_alias));
      return *(const unaligned *)(w + step * WIDTH * 4);
    }
    case T2_F16: return NAME(halves)(w + step * WIDTH * 2);
    case T2_BF16: {
      typedef uint16_t bits __attribute__((vector_size(WIDTH * 2), aligned(1), may_alias));
      return (V)(__builtin_convertvector(*(const bits *)(w + step * WIDTH * 2), I) << 16);
    }
    case T2_F64: {
      typedef double doubles __attribute__((vector_size(WIDTH * 8), aligned(1), may_alias));
      return __builtin_convertvector(*(const doubles *)(w + step * WIDTH * 8), V);
    }
    default: break;
  }
  const float *scales = piece->scales;
  const uint8_t *pairs = NAME(pairs)(type, w, step);
  if (pairs) {
    const int half = count / 2;
    const I both = NAME(unsigned_bytes)(pairs + i % half), level = i < half ? both : both >> 4;
#if WIDTH == 16
    return (V)_mm512_permutexvar_ps((__m512i)level, (__m512)NAME(table)(type, scales, step, count, i));
#else
    return NAME(scaled)(type, NAME(floats)((level & 15) - (type == T2_Q4_0 ? 8 : 0)), scales, step, count, i);
#endif
  }
  const uint8_t *levels = (type == T2_Q8_0 ? w + 34 * step + 2 : piece->levels + step * count) + i;
  const I level = NAME(has_minimum)(type) ? NAME(unsigned_bytes)(levels) : NAME(signed_bytes)(levels);
  return NAME(scaled)(type, NAME(floats)(level), scales, step, count, i);
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

// The `count` values at `w`, whole blocks. `restrict`, or a table would be made anew after each vector that is written.
INLINE void NAME(widen_of)(
    const enum t2_weight_type type, const int values, const int bytes, const uint8_t *w, long count,
    float *restrict out) {
  const int step = NAME(step)(type);
  if (values == 1) {
    const long steps = count / step;
    for (long i = 0; i < steps; i++) ((V *)out)[i] = NAME(value)(type, w, 0, i, 0);
    for (long i = steps * step; i < count; i++) out[i] = NAME(element)(type, w + i * bytes);
    return;
  }
  NAME(piece) piece;
  const NAME(piece) *ready = &piece;
  const long blocks = count / values, span = values == 32 ? SPAN : 1;
  for (long block = 0; block < blocks; block += span) {
    const long start = values == 32 ? NAME(span_start)(block, blocks) : block;
    const long end = blocks - block < span ? blocks : block + span;
    NAME(make_ready)(type, values, bytes, 1, w + start * bytes, 0, end - start, &piece);
    THROUGH_MEMORY(ready);
    for (long i = (block - start) * values / step; i < (end - start) * values / step; i++, out += step)
      UNROLL for (int v = 0; v < step; v += WIDTH) *(V *)(out + v) = NAME(value)(type, w + start * bytes, ready, i, v);
  }
}

// Adds the products of one row of x with `nw` rows of weights, for types without blocks; what is left below a vector is not
// among them.
INLINE void NAME(add_numbers)(
    const enum t2_weight_type type, const int bytes, const int nw, long inner, const float *x, const uint8_t *w,
    long w_stride, V sums[ROWS_OF_ONE]) {
  for (long i = 0; i < inner / WIDTH; i++)
    UNROLL for (int a = 0; a < nw; a++) {
      const uint8_t *row = w + a * w_stride;
      UNROLL for (int line = 0; line < WIDTH * bytes; line += 64)
        __builtin_prefetch(row + AHEAD + i * WIDTH * bytes + line, 0, 2);
      sums[a] += NAME(value)(type, row, 0, i, 0) * LOAD(x + i * WIDTH);
    }
}

// The same for blocks.
INLINE void NAME(add_blocks)(
    const enum t2_weight_type type, const int values, const int bytes, const int nw, long inner, const float *x,
    const uint8_t *w, long w_stride, V sums[ROWS_OF_ONE]) {
  const int step = NAME(step)(type), step_bytes = step * bytes / values;
  const int together = WIDTH == 4 ? step : 16;  // With four floats in a register, to spread a scale costs the most.
  const long blocks = inner / values, span = values == 32 ? SPAN : 1;
  NAME(piece) pieces[2][ROWS_OF_ONE];
  int turn = 0;
  for (long block = -span; block < blocks; block += span, turn ^= 1) {
    const long next = block + span;
    if (next < blocks) {
      const long start = values == 32 ? NAME(span_start)(next, blocks) : next;
      const long end = blocks - next < span ? blocks : next + span;
      NAME(make_ready)(type, values, bytes, nw, w + start * bytes, w_stride, end - start, pieces[turn]);
    }
    if (block < 0) continue;
    const NAME(piece) *ready = pieces[turn ^ 1];
    THROUGH_MEMORY(ready);
    const long start = values == 32 ? NAME(span_start)(block, blocks) : block;
    const long end = blocks - block < span ? blocks : block + span;
    const float *xs = x + start * values;
    const uint8_t *base = w + start * bytes;
    for (long i = (block - start) * values / step; i < (end - start) * values / step; i++) {
      UNROLL for (int a = 0; a < nw; a++)
        UNROLL for (int line = 0; line < step_bytes; line += 64)
          __builtin_prefetch(base + a * w_stride + AHEAD + i * step_bytes + line, 0, 2);
      UNROLL for (int v = 0; v < step; v += together)
        UNROLL for (int a = 0; a < nw; a++)
          UNROLL for (int u = v; u < v + together; u += WIDTH)
            sums[a] += NAME(value)(type, base + a * w_stride, ready + a, i, u) * LOAD(xs + i * step + u);
    }
  }
}

// Products of one row of x with `nw` rows of weights.
INLINE void NAME(one_row_block)(
    const enum t2_weight_type type, const int values, const int bytes, const int nw, long inner, const float *x,
    const uint8_t *w, long w_stride, float *y, long y_stride, bool accumulate) {
  V sums[ROWS_OF_ONE] = {0};
  const long whole = values == 1 ? inner & -WIDTH : inner;
  if (values == 1)
    NAME(add_numbers)(type, bytes, nw, inner, x, w, w_stride, sums);
  else
    NAME(add_blocks)(type, values, bytes, nw, inner, x, w, w_stride, sums);
  UNROLL for (int a = 0; a < nw; a++) {
    float total = NAME(sum)(sums[a]);
    for (long j = whole; j < inner; j++) total += NAME(element)(type, w + a * w_stride + j * bytes) * x[j];
    y[a * y_stride] = accumulate ? y[a * y_stride] + total : total;
  }
}

INLINE void NAME(one_row_of)(
    const enum t2_weight_type type, const int values, const int bytes, long columns, long inner, const float *x,
    const uint8_t *w, long w_stride, float *y, bool accumulate) {
  const long quarter = columns / ROWS_OF_ONE;
  for (long column = 0; column < quarter; column++)
    NAME(one_row_block)
    (type, values, bytes, ROWS_OF_ONE, inner, x, w + column * w_stride, quarter * w_stride, y + column, quarter,
     accumulate);
  for (long column = quarter * ROWS_OF_ONE; column < columns; column++)
    NAME(one_row_block)(type, values, bytes, 1, inner, x, w + column * w_stride, 0, y + column, 0, accumulate);
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
