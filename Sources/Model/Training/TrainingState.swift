import ModelFormats
package import StrictJSON

/// All that a training is between two steps. Saved and read back it goes on with the same bits.
package struct TrainingState: Sendable, Equatable {
  /// One step as the learning curve shows it.
  package struct Point: Sendable, Equatable {
    /// Counted from 1; 0 is the base, which is validated and nothing else.
    package var step: Int
    package var rate: Double
    /// Of the step's rows, before it.
    package var batch: Standing?
    /// Before it is cut.
    package var gradientNorm: Double
    /// Of the rows held out, after it.
    package var validation: Standing?
  }

  /// What everything depends on; a state of another training is not gone on with.
  package let identity: String
  package internal(set) var parameters: [Float]
  package internal(set) var optimizer: AdamW
  /// The parameters of the best validation.
  package internal(set) var best: [Float]
  package internal(set) var bestStep = 0
  package internal(set) var curve: [Point] = []

  package var step: Int { optimizer.steps }

  /// - Parameters:
  ///   - parameters: the base's.
  ///   - origin: what each of them is, towards which the decay pulls.
  package init(identity: String, parameters: [Float], decay: Double, origin: Float) {
    self.identity = identity
    self.parameters = parameters
    best = parameters
    optimizer = AdamW(count: parameters.count, decay: decay, origin: origin)
  }

  package var validations: [Point] { curve.filter { $0.validation != nil } }
  package var bestValidation: Standing? { curve.first { $0.step == bestStep }?.validation }

  // MARK: - saved

  /// A safetensors file: the numbers as tensors, which keeps their bits, the rest as JSON in its metadata.
  package var bytes: [UInt8] {
    let tensors = [
      ("parameters", parameters), ("first", optimizer.first), ("second", optimizer.second), ("best", best),
    ].map { SafetensorsTensor(name: $0.0, shape: [$0.1.count], values: $0.1) }
    let facts: JSONValue = [
      "step": JSONValue(step), "decay": .number(optimizer.decay),
      "origin": .number(Double(optimizer.origin)), "best_step": JSONValue(bestStep),
      "curve": .array(curve.map(\.json)),
    ]
    return safetensorsBytes(
      tensors: tensors, metadata: [("t2.training", identity), ("t2.training.state", facts.jsonText)])
  }

  /// Nil where the file is that of another training, or none, or there is none. Our own file: its curve may be long, and
  /// the adapters of a large model are.
  package init?(path: String, identity: String) {
    guard let file = try? SafetensorsFile.open(path: path, rules: .model) else { return nil }
    self.init(file, identity: identity)
  }

  init?(_ file: SafetensorsFile, identity: String) {
    let entries = Dictionary(file.metadata.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
    guard entries["t2.training"] == identity, let text = entries["t2.training.state"], let facts = try? parseJSON(text),
      let step = facts["step"]?.intValue, let decay = facts["decay"]?.doubleValue,
      let origin = facts["origin"]?.doubleValue,
      let bestStep = facts["best_step"]?.intValue, let points = facts["curve"]?.arrayValue,
      let parameters = try? file.floats("parameters"), let first = try? file.floats("first"),
      let second = try? file.floats("second"), let best = try? file.floats("best"), first.count == parameters.count,
      second.count == parameters.count, best.count == parameters.count
    else { return nil }
    self.identity = identity
    self.parameters = parameters
    self.best = best
    self.bestStep = bestStep
    optimizer = AdamW(first: first, second: second, steps: step, decay: decay, origin: Float(origin))
    curve = points.compactMap { Point($0) }
    // A point for the base and one for each step.
    guard curve.count == points.count, curve.map(\.step) == Array(curve.indices), curve.count - 1 == step,
      bestValidation != nil
    else { return nil }
  }
}

extension TrainingState.Point {
  package var json: JSONValue {
    var object: JSONObject = ["step": JSONValue(step)]
    if let batch {
      object["learning_rate"] = .number(rate)
      object["gradient_norm"] = .number(gradientNorm)
      object["batch"] = batch.json
    }
    object["validation"] = validation?.json
    return .object(object)
  }

  fileprivate init?(_ value: JSONValue) {
    guard let step = value["step"]?.intValue else { return nil }
    self.step = step
    rate = value["learning_rate"]?.doubleValue ?? 0
    gradientNorm = value["gradient_norm"]?.doubleValue ?? 0
    batch = value["batch"].flatMap { Standing($0) }
    validation = value["validation"].flatMap { Standing($0) }
  }
}

extension Standing {
  package var json: JSONValue {
    [
      "rows": JSONValue(rows), "loss": .number(loss), "reward": reward.map { .number($0) } ?? .null,
      "acc": right.map { .number($0) } ?? .null,
      "kl": .number(divergence),
    ]
  }

  fileprivate init?(_ value: JSONValue) {
    guard let rows = value["rows"]?.intValue, let loss = value["loss"]?.doubleValue,
      let divergence = value["kl"]?.doubleValue
    else { return nil }
    self.init(
      rows: rows, loss: loss, reward: value["reward"]?.doubleValue, right: value["acc"]?.doubleValue,
      divergence: divergence)
  }
}
