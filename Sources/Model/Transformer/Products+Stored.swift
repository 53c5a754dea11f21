internal import CKernels
internal import LinearAlgebra

// Products with weights that stay as they are stored. Few rows read the blocks themselves; for many the weights are
// widened by tiles that the second cache holds, and OpenBLAS multiplies. `scratch` is the thread's; slot
// `ScratchSlot.widened` is used.

/// Floats of a tile: two megabytes. For each tile OpenBLAS packs x anew; with half a megabyte scoring has 0.9 of the speed.
private let tileSize = 1 << 19

/// y (rows, columns) = x (rows, inner) Wᵀ, or y += where it accumulates; W has `columns` rows of `inner` values.
///
/// For few rows the result is to the bit what ``multiplyTransposed(rows:columns:inner:x:xStride:weights:y:yStride:accumulate:)``
/// makes of the widened weights.
func multiplyTransposed(
  rows: Int, columns: Int, inner: Int, x: UnsafePointer<Float>, xStride: Int, weights: StoredRows,
  y: UnsafeMutablePointer<Float>, yStride: Int, accumulate: Bool = false, scratch: Scratch
) {
  if rows <= fewRowsLimit {
    unsafe t2_few_rows_stored(
      vectorUnit, weights.type, rows, columns, inner, x, xStride, weights.start, weights.stride, y, yStride, accumulate)
    return
  }
  if let floats = unsafe weights.floats(inner: inner) {
    return unsafe multiplyTransposed(
      rows: rows, columns: columns, inner: inner, x: x, xStride: xStride, weights: floats, y: y, yStride: yStride,
      accumulate: accumulate)
  }
  let tile = min(max(tileSize / max(inner, 1), 16), columns)
  let widened = unsafe scratch.floats(ScratchSlot.widened, count: tile * inner)
  for first in stride(from: 0, to: columns, by: tile) {
    let count = min(tile, columns - first)
    unsafe weights.from(first).widen(rows: count, inner: inner, into: widened, outStride: inner)
    unsafe BLAS.gemm(
      transposeA: false, transposeB: true, m: rows, n: count, k: inner, a: x, lda: xStride, b: widened, ldb: inner,
      beta: accumulate ? 1 : 0, c: y + first, ldc: yStride)
  }
}

/// y (rows, columns) = x (rows, inner) M, or y += where it accumulates, for some columns of M, which has `inner` rows of
/// `width` values. Halves lie at addresses of halves.
func multiply(
  rows: Int, columns: Range<Int>, inner: Int, x: UnsafePointer<Float>, xStride: Int, matrix: StoredRows, width: Int,
  y: UnsafeMutablePointer<Float>, yStride: Int, accumulate: Bool = false, scratch: Scratch
) {
  if let floats = unsafe matrix.floats(inner: width) {
    return unsafe multiply(
      rows: rows, columns: columns.count, inner: inner, x: x, xStride: xStride, matrix: floats + columns.lowerBound,
      matrixStride: width, y: y, yStride: yStride, accumulate: accumulate)
  }
  if unsafe matrix.type == T2_F16, rows <= fewRowsLimit {
    return unsafe t2_few_rows_plain_half(
      vectorUnit, rows, columns.count, inner, x, xStride,
      matrix.fromColumn(columns.lowerBound).start.assumingMemoryBound(to: UInt16.self),
      matrix.stride / MemoryLayout<UInt16>.stride, y, yStride, accumulate)
  }
  let blocks = unsafe matrix.blocks(around: columns)
  let tile = min(max(tileSize / max(blocks.count, 1), 16), inner)
  let widened = unsafe scratch.floats(ScratchSlot.widened, count: tile * blocks.count)
  let part = unsafe matrix.fromColumn(blocks.lowerBound)
  for first in stride(from: 0, to: inner, by: tile) {
    let count = min(tile, inner - first)
    unsafe part.from(first).widen(rows: count, inner: blocks.count, into: widened, outStride: blocks.count)
    unsafe multiply(
      rows: rows, columns: columns.count, inner: count, x: x + first, xStride: xStride,
      matrix: widened + (columns.lowerBound - blocks.lowerBound), matrixStride: blocks.count, y: y, yStride: yStride,
      accumulate: accumulate || first > 0)
  }
}
