internal import CLinux

// Products of few rows, as decoding has them. OpenBLAS packs the weights before it multiplies, which for ten rows costs
// as much as the product; these read every weight once, where it lies. Four-lane types: what baseline x86-64 has.

/// Rows up to which these are used; from there on packing pays.
let fewRowsLimit = 11

@inline(__always)
private func load4(_ pointer: UnsafePointer<Float>) -> SIMD4<Float> {
  unsafe UnsafeRawPointer(pointer).loadUnaligned(as: SIMD4<Float>.self)
}

/// y (rows, columns) = x (rows, inner) Wᵀ or y += for 2 to ``fewRowsLimit`` rows; W lies as (columns, inner).
///
/// Four rows of weights at a time meet two rows of x at a time: eight sums and six operands fill the sixteen registers.
/// The four rows of weights come from memory for the first two rows of x and from the first cache for the others, whose
/// time is used to bring in the next four.
func multiplyFewRows(
  rows: Int, columns: Int, inner: Int, x: UnsafePointer<Float>, xStride: Int, weights: UnsafePointer<Float>,
  y: UnsafeMutablePointer<Float>, yStride: Int, accumulate: Bool
) {
  var column = 0
  while column < columns {
    let count = min(4, columns - column)
    let w = unsafe weights + column * inner
    let hasNext = columns - column >= 8
    var row = 0
    while row < rows {
      let target = unsafe y + row * yStride + column
      if count == 4, row + 1 < rows {
        let (a, b) = unsafe dot4x2(
          w, inner, x + row * xStride, x + (row + 1) * xStride, inner,
          next: hasNext && row < 8 ? w + (4 + row / 2) * inner : w)
        unsafe put(a, target, accumulate)
        unsafe put(b, target + yStride, accumulate)
        row += 2
      } else {
        for place in 0..<count {
          let value = unsafe dot(w + place * inner, x + row * xStride, inner)
          unsafe target[place] = accumulate ? target[place] + value : value
        }
        row += 1
      }
    }
    column += count
  }
}

/// The products of four rows of weights, `inner` apart, with two rows of x. `next` is a row that will be wanted soon.
@inline(__always)
private func dot4x2(
  _ w: UnsafePointer<Float>, _ stride: Int, _ x: UnsafePointer<Float>, _ z: UnsafePointer<Float>, _ inner: Int,
  next: UnsafePointer<Float>
) -> (SIMD4<Float>, SIMD4<Float>) {
  var (a0, a1, a2, a3) = (SIMD4<Float>.zero, SIMD4<Float>.zero, SIMD4<Float>.zero, SIMD4<Float>.zero)
  var (b0, b1, b2, b3) = (SIMD4<Float>.zero, SIMD4<Float>.zero, SIMD4<Float>.zero, SIMD4<Float>.zero)
  let whole = inner & ~3
  var i = 0
  while i < whole {
    // A line is asked for four times: unrolled by four, this loop has more operands than registers.
    unsafe t2_prefetch(next + i)
    let (p, q) = unsafe (load4(x + i), load4(z + i))
    let w0 = unsafe load4(w + i)
    a0 += w0 * p
    b0 += w0 * q
    let w1 = unsafe load4(w + stride + i)
    a1 += w1 * p
    b1 += w1 * q
    let w2 = unsafe load4(w + 2 * stride + i)
    a2 += w2 * p
    b2 += w2 * q
    let w3 = unsafe load4(w + 3 * stride + i)
    a3 += w3 * p
    b3 += w3 * q
    i += 4
  }
  var a = SIMD4(a0.sum(), a1.sum(), a2.sum(), a3.sum())
  var b = SIMD4(b0.sum(), b1.sum(), b2.sum(), b3.sum())
  while i < inner {
    let column = unsafe SIMD4(w[i], w[stride + i], w[2 * stride + i], w[3 * stride + i])
    a += unsafe column * x[i]
    b += unsafe column * z[i]
    i += 1
  }
  return (a, b)
}

@inline(__always)
private func dot(_ w: UnsafePointer<Float>, _ x: UnsafePointer<Float>, _ inner: Int) -> Float {
  var (a, b) = (SIMD4<Float>.zero, SIMD4<Float>.zero)
  let whole = inner & ~7
  var i = 0
  while i < whole {
    a += unsafe load4(w + i) * load4(x + i)
    b += unsafe load4(w + i + 4) * load4(x + i + 4)
    i += 8
  }
  var sum = (a + b).sum()
  while i < inner {
    sum += unsafe w[i] * x[i]
    i += 1
  }
  return sum
}

/// y (rows, columns) = x (rows, inner) M or y += for 2 to ``fewRowsLimit`` rows, where M lies as (inner, columns) with
/// `stride` between its rows.
///
/// Sixteen columns, a cache line of M, meet two rows of x at a time: eight sums again.
func multiplyFewRowsPlain(
  rows: Int, columns: Int, inner: Int, x: UnsafePointer<Float>, xStride: Int, matrix: UnsafePointer<Float>,
  stride: Int, y: UnsafeMutablePointer<Float>, yStride: Int, accumulate: Bool
) {
  var column = 0
  while column < columns {
    let count = min(16, columns - column)
    let m = unsafe matrix + column
    for row in Swift.stride(from: 0, to: rows, by: 2) {
      let target = unsafe y + row * yStride + column
      let a = unsafe x + row * xStride
      // A last row without a partner is its own: computed twice, stored once.
      let isPair = row + 1 < rows
      let b = unsafe isPair ? a + xStride : a
      if count == 16 {
        let (first, second) = unsafe combine16x2(m, stride, a, b, inner)
        unsafe put(first, target, accumulate)
        if isPair { unsafe put(second, target + yStride, accumulate) }
      } else {
        for place in 0..<count {
          var (p, q) = (Float.zero, Float.zero)
          for i in 0..<inner {
            p += unsafe m[i * stride + place] * a[i]
            q += unsafe m[i * stride + place] * b[i]
          }
          unsafe target[place] = accumulate ? target[place] + p : p
          if isPair { unsafe target[yStride + place] = accumulate ? target[yStride + place] + q : q }
        }
      }
    }
    column += count
  }
}

private typealias Sixteen = (SIMD4<Float>, SIMD4<Float>, SIMD4<Float>, SIMD4<Float>)

/// Σ_i a[i] M[i] and Σ_i b[i] M[i] for sixteen columns of M.
@inline(__always)
private func combine16x2(
  _ m: UnsafePointer<Float>, _ stride: Int, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ inner: Int
) -> (Sixteen, Sixteen) {
  var (p0, p1, p2, p3) = (SIMD4<Float>.zero, SIMD4<Float>.zero, SIMD4<Float>.zero, SIMD4<Float>.zero)
  var (q0, q1, q2, q3) = (SIMD4<Float>.zero, SIMD4<Float>.zero, SIMD4<Float>.zero, SIMD4<Float>.zero)
  var row = unsafe m
  for i in 0..<inner {
    let (s, t) = unsafe (SIMD4(repeating: a[i]), SIMD4(repeating: b[i]))
    let v0 = unsafe load4(row)
    p0 += v0 * s
    q0 += v0 * t
    let v1 = unsafe load4(row + 4)
    p1 += v1 * s
    q1 += v1 * t
    let v2 = unsafe load4(row + 8)
    p2 += v2 * s
    q2 += v2 * t
    let v3 = unsafe load4(row + 12)
    p3 += v3 * s
    q3 += v3 * t
    unsafe row += stride
  }
  return ((p0, p1, p2, p3), (q0, q1, q2, q3))
}

@inline(__always)
private func put(_ values: Sixteen, _ target: UnsafeMutablePointer<Float>, _ accumulate: Bool) {
  unsafe put(values.0, target, accumulate)
  unsafe put(values.1, target + 4, accumulate)
  unsafe put(values.2, target + 8, accumulate)
  unsafe put(values.3, target + 12, accumulate)
}

@inline(__always)
private func put(_ value: SIMD4<Float>, _ target: UnsafeMutablePointer<Float>, _ accumulate: Bool) {
  let sum = unsafe accumulate ? load4(target) + value : value
  unsafe UnsafeMutableRawPointer(target).storeBytes(of: sum, as: SIMD4<Float>.self)
}
