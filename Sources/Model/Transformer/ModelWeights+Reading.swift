internal import LinearAlgebra
internal import ModelFormats
internal import Multipliers
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

  /// Where a tensor of the configuration's list lies.
  private func place(of name: String) -> UnsafeMutablePointer<Float>? {
    switch name {
    case "model.embed_tokens.weight": return unsafe embedding
    case "lm_head.weight": return unsafe head
    case "model.norm.weight": return unsafe finalNorm
    default: break
    }
    let parts = name.split(separator: ".", maxSplits: 3)
    guard parts.count == 4, parts[1] == "layers", let layer = Int(parts[2]), (0..<shape.layers).contains(layer) else {
      return nil
    }
    switch parts[3] {
    case "input_layernorm.weight": return unsafe inputNorm(layer)
    case "post_attention_layernorm.weight": return unsafe postNorm(layer)
    default:
      guard let projection = Projection.allCases.first(where: { $0.tensorName == parts[3] }) else { return nil }
      return unsafe matrix(layer, projection)
    }
  }

  /// A target matrix by its description.
  func matrix(named target: TargetMatrix) -> UnsafeMutablePointer<Float> {
    guard let place = unsafe place(of: target.name) else { preconditionFailure("'\(target.name)' has no place") }
    return unsafe place
  }
}
