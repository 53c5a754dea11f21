internal import CKernels
internal import ModelFormats

/// Rows of weights as their file stores them, which products read without widening the matrix.
///
/// Whoever makes one keeps the bytes alive and unchanged while it is used. They may lie at any alignment.
@unsafe struct StoredRows {
  let type: t2_weight_type
  let start: UnsafeRawPointer
  /// Bytes from one row to the next.
  let stride: Int

  init(type: t2_weight_type, start: UnsafeRawPointer, stride: Int) {
    unsafe (self.type, self.start, self.stride) = (type, start, stride)
  }

  /// Rows of `inner` values, a multiple of the block's length, without gaps.
  init(type: t2_weight_type, start: UnsafeRawPointer, inner: Int) {
    precondition(inner % t2_block_values(type) == 0, "rows of \(inner) values are not whole blocks")
    unsafe self.init(type: type, start: start, stride: inner / t2_block_values(type) * t2_block_bytes(type))
  }

  /// Those from `row` on.
  func from(_ row: Int) -> StoredRows { unsafe StoredRows(type: type, start: start + row * stride, stride: stride) }

  /// Those from a column on, where a block begins.
  func fromColumn(_ column: Int) -> StoredRows {
    unsafe StoredRows(
      type: type, start: start + column / t2_block_values(type) * t2_block_bytes(type), stride: stride)
  }

  /// The columns of all blocks that some columns are in.
  func blocks(around columns: Range<Int>) -> Range<Int> {
    let length = unsafe t2_block_values(type)
    return columns.lowerBound / length * length..<(columns.upperBound + length - 1) / length * length
  }

  /// The rows as they are, where they are floats without gaps.
  func floats(inner: Int) -> UnsafePointer<Float>? {
    guard unsafe type == T2_F32, unsafe stride == inner * MemoryLayout<Float>.stride,
      unsafe Int(bitPattern: start) % MemoryLayout<Float>.alignment == 0
    else { return nil }
    return unsafe start.assumingMemoryBound(to: Float.self)
  }

  /// out (rows, inner) = the values of the first rows, with `outStride` between rows of `out`. To the bit what
  /// ``ElementType`` widens to, by the vector unit of this processor.
  func widen(rows: Int, inner: Int, into out: UnsafeMutablePointer<Float>, outStride: Int) {
    unsafe t2_widen(vectorUnit, type, rows, inner, start, stride, out, outStride)
  }
}

extension ElementType {
  /// What the kernels call it; they know every type. Looked up once for a tensor, not for a tile.
  var kernelType: t2_weight_type {
    guard let type = kernelTypes[rawValue] else { preconditionFailure("no kernel reads \(rawValue)") }
    return type
  }
}

/// The kernels' types by the names that they share with ``ElementType``.
private let kernelTypes: [String: t2_weight_type] = {
  var types: [String: t2_weight_type] = [:]
  for number in 0..<UInt32(t2_weight_type_count()) {
    let type = t2_weight_type(rawValue: number)
    types[unsafe String(cString: t2_weight_type_name(type))] = type
  }
  return types
}()
