import Engines
internal import LinearAlgebra
internal import ModelFormats
internal import SystemSupport

extension ModelWeights {
  /// Reads all tensors, on the threads of the pool, and refuses values that are not finite: a NaN would only show in
  /// answers.
  func read(_ file: OpenModel, pool: ComputePool, shouldStop: @escaping @Sendable () -> Bool) throws(EngineError) {
    let pieces = file.configuration.requiredTensors.flatMap { Self.pieces(of: $0.name, $0.shape) }
    // Of several errors the one of the first piece is reported, whichever thread met it first.
    let failures = Mutex<[Int: EngineError]>([:])
    pool.forEach(pieces.count, priority: .interactive) { [self] tile, scratch in
      do throws(EngineError) {
        guard !shouldStop() else { throw .stopped }
        try read(pieces[tile], file, scratch)
      } catch {
        failures.withLock { $0[tile] = error }
      }
    }
    let first = failures.withLock { failures in failures.keys.min().flatMap { failures[$0] } }
    if let first { throw first }
  }

  /// Some rows of a tensor.
  private struct Piece: Sendable {
    let name: String
    let rows: Range<Int>
  }

  /// An embedding is as large as ten layers: the threads share it.
  private static func pieces(of name: String, _ shape: [Int]) -> [Piece] {
    let values = 1 << 20
    guard shape.count == 2 else { return [Piece(name: name, rows: 0..<shape[0])] }
    let rows = max(1, values / shape[1])
    return stride(from: 0, to: shape[0], by: rows).map { Piece(name: name, rows: $0..<min($0 + rows, shape[0])) }
  }

  private func read(_ piece: Piece, _ file: OpenModel, _ scratch: Scratch) throws(EngineError) {
    let (name, rows) = (piece.name, piece.rows)
    guard let place = unsafe place(of: name) else { preconditionFailure("tensor '\(name)' has no place") }
    switch unsafe place {
    case .vector(let target, let count):
      do { try unsafe file.readFloats(name, into: target) } catch { throw .unreadable(error) }
      try unsafe check(target, count: count, name, first: 0)
    case .matrix(let stored, _, let columns):
      let part = unsafe stored.from(rows.lowerBound)
      unsafe file.readStored(
        name, rows,
        into: UnsafeMutableRawBufferPointer(
          start: UnsafeMutableRawPointer(mutating: part.start), count: rows.count * part.stride))
      // By the values, since what is no number is another thing in each type.
      let values = unsafe scratch.floats(ScratchSlot.widened, count: rows.count * columns)
      unsafe part.widen(rows: rows.count, inner: columns, into: values, outStride: columns)
      try unsafe check(values, count: rows.count * columns, name, first: rows.lowerBound * columns)
    }
  }

  /// - Parameter first: the place of the first value in its tensor.
  private func check(
    _ values: UnsafePointer<Float>, count: Int, _ name: String, first: Int
  ) throws(EngineError) {
    if unsafe allFinite(values, count: count) { return }
    for index in 0..<count where unsafe !values[index].isFinite {
      throw .notFinite(model: shape.configuration.modelID, tensor: name, index: first + index)
    }
  }
}
