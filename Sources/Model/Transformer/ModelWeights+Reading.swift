internal import LinearAlgebra
internal import ModelFormats
internal import SystemSupport

extension ModelWeights {
  /// Reads all tensors, on the threads of the pool, and refuses values that are not finite: a NaN would only show in
  /// answers.
  func read(_ file: OpenModel, pool: ComputePool, shouldStop: @escaping @Sendable () -> Bool) throws(TransformerError) {
    let names = file.configuration.requiredTensors.map(\.name)
    // Of several errors the one of the first tensor is reported, whichever thread met it first.
    let failures = Mutex<[Int: TransformerError]>([:])
    pool.forEach(names.count, priority: .interactive) { [self] tile, _ in
      do throws(TransformerError) {
        guard !shouldStop() else { throw .stopped }
        try readTensor(names[tile], file)
      } catch {
        failures.withLock { $0[tile] = error }
      }
    }
    let first = failures.withLock { failures in failures.keys.min().flatMap { failures[$0] } }
    if let first { throw first }
  }

  private func readTensor(_ name: String, _ file: OpenModel) throws(TransformerError) {
    guard let place = unsafe place(of: name) else { preconditionFailure("tensor '\(name)' has no place") }
    do { try unsafe file.readFloats(name, into: place) } catch { throw .unreadable(error) }
    let count = file.shape(of: name)?.reduce(1, *) ?? 0
    if unsafe allFinite(place, count: count) { return }
    for index in 0..<count where unsafe !place[index].isFinite {
      throw .notFinite(model: file.configuration.modelID, tensor: name, index: index)
    }
  }
}
