/// A run of values of one type in an entry of its own.
struct TorchStorage: Sendable, Equatable {
  /// PyTorch's name.
  let typeName: String
  /// Nil where values of this type are not read.
  let type: ElementType?
  /// The entry's name behind `data/`.
  let key: String
  /// Values, as the pickle says.
  let count: Int
}

/// A tensor: values of a storage, with a distance for each dimension.
struct TorchView: Sendable, Equatable {
  let storage: TorchStorage
  let offset: Int
  let shape: [Int]
  let strides: [Int]

  /// More dimensions than any weight has.
  static let maximumDimensions = 8

  /// What is wrong with it; nil where every value lies within the storage. Nothing is believed before that.
  var problem: String? {
    var (count, last, isTooLarge) = (1, offset, offset < 0)
    for (size, stride) in zip(shape, strides) {
      guard size > 0, stride >= 0 else { return "its shape is \(shapeText(shape)) with the strides \(strides)" }
      let (product, overflows) = count.multipliedReportingOverflow(by: size)
      let (span, overflows2) = (size - 1).multipliedReportingOverflow(by: stride)
      let (sum, overflows3) = last.addingReportingOverflow(span)
      if overflows || overflows2 || overflows3 { isTooLarge = true }
      (count, last) = (product, sum)
    }
    // Values that share a place (stride 0) are no parameters, and would make much of little.
    guard !isTooLarge, last < storage.count, count <= storage.count else {
      return
        "\(shapeText(shape)) values with the strides \(strides) from \(offset) on are not within the \(storage.count) "
        + "of its storage"
    }
    return nil
  }

  /// The values, row-major, of a storage's bytes. The caller has asked for ``problem`` and whether its type is read, and
  /// compared the storage's count with its bytes.
  func values(of bytes: ArraySlice<UInt8>) -> [Float] {
    guard let type = storage.type else { preconditionFailure("values of \(storage.typeName) are not read") }
    let size = type.blockSize
    var values = [Float](repeating: 0, count: shape.reduce(1, *))
    unsafe bytes.withUnsafeBytes { source in
      unsafe values.withUnsafeMutableBufferPointer { target in
        var index = [Int](repeating: 0, count: shape.count)
        for place in target.indices {
          let start = zip(index, strides).reduce(offset) { $0 + $1.0 * $1.1 } * size
          unsafe type.widen(
            UnsafeRawBufferPointer(rebasing: source[start..<start + size]),
            into: UnsafeMutableBufferPointer(rebasing: target[place...place]))
          for dimension in shape.indices.reversed() {
            index[dimension] += 1
            if index[dimension] < shape[dimension] { break }
            index[dimension] = 0
          }
        }
      }
    }
    return values
  }
}
