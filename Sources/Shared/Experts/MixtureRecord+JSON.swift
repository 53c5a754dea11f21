import Digests
import Multipliers
package import StrictJSON

extension MixtureRecord {
  package var json: JSONValue {
    var object: JSONObject = [
      "t2.format": "t2-mixture", "version": 1, "task": .string(task), "task_digest": .string(taskDigest.description),
      "model": .string(model), "base_digest": .string(baseDigest.description),
      "granularity": .string(granularity.rawValue), "mix": .string(mix.rawValue), "rescale": .string(rescale.rawValue),
      "alpha": alphaJSON,
    ]
    if granularity != .vector { object["units"] = JSONValue(units) }
    object["experts"] = .array(
      experts.map {
        ["name": .string($0.name), "version": JSONValue($0.version), "digest": .string($0.digest.description)]
      })
    object["scores"] = scoresJSON
    object["served"] = .string(served)
    object["served_reason"] = .string(servedReason)
    object["search"] = .object(search)
    if let vectors {
      object["vectors"] = ["digest": .string(vectors.digest.description), "bytes": JSONValue(vectors.bytes)]
    }
    return .object(object)
  }

  /// `scores` of `mixture.get`.
  package var scoresJSON: JSONValue {
    var singles = JSONObject()
    for (expert, score) in zip(experts, scores.experts) { singles[expert.name] = score.json }
    return [
      "metric": .string(scores.metric), "base": scores.base.json, "experts": .object(singles),
      "uniform": scores.uniform.json, "mixture": scores.mixture.json,
    ]
  }

  package init(json: JSONValue) throws(ObjectReaderError) {
    var reader = try ObjectReader(reading: json, path: "mixture record")
    guard try reader.string("t2.format") == "t2-mixture", try reader.integer("version") == 1 else {
      throw ObjectReaderError(
        kind: .outOfRange, path: "mixture record", key: "t2.format", problem: "it is not a t2-mixture of version 1")
    }
    task = try reader.string("task")
    taskDigest = try reader.digest("task_digest")
    model = try reader.string("model")
    baseDigest = try reader.digest("base_digest")
    granularity = try reader.choice("granularity")
    mix = try reader.choice("mix")
    rescale = try reader.choice("rescale")
    let alpha = try reader.object("alpha")
    units = try reader.optionalStrings("units") ?? []
    var experts: [Expert] = []
    for (index, value) in try reader.array("experts").enumerated() {
      var entry = try ObjectReader(reading: value, path: "mixture record: experts[\(index)]")
      let name = try entry.string("name")
      experts.append(
        Expert(
          name: name, version: try entry.int("version", in: 1...Int(Int32.max)), digest: try entry.digest("digest"),
          alpha: try Self.coefficients(alpha[name], of: name)))
      try entry.finish()
    }
    self.experts = experts
    guard alpha.count == experts.count else {
      throw ObjectReaderError(
        kind: .outOfRange, path: "mixture record", key: "alpha",
        problem: "\"alpha\" has \(alpha.count) members for \(experts.count) experts")
    }
    var scores = try reader.reader("scores")
    let metric = try scores.string("metric")
    let base = try Score(scores.reader("base"))
    var singles = try scores.reader("experts")
    var expertScores: [Score] = []
    for expert in experts { expertScores.append(try Score(singles.reader(expert.name))) }
    try singles.finish()
    self.scores = Scores(
      metric: metric, base: base, experts: expertScores, uniform: try Score(scores.reader("uniform")),
      mixture: try Score(scores.reader("mixture")))
    try scores.finish()
    served = try reader.string("served")
    servedReason = try reader.string("served_reason")
    search = try reader.object("search")
    if var vectors = try reader.optionalReader("vectors") {
      self.vectors = Vectors(digest: try vectors.digest("digest"), bytes: try vectors.int("bytes", in: 0...Int.max))
      try vectors.finish()
    }
    try reader.finish()
  }

  private static func coefficients(_ value: JSONValue?, of expert: String) throws(ObjectReaderError) -> [Float] {
    let values = value?.arrayValue ?? value.map { [$0] } ?? []
    let numbers = values.compactMap(\.doubleValue)
    guard !numbers.isEmpty, numbers.count == values.count else {
      throw ObjectReaderError(
        kind: .wrongKind, path: "mixture record: alpha", key: expert,
        problem: "\"\(expert.excerpt)\" must be a number or a list of numbers, found \(value?.kindName ?? "nothing")")
    }
    return numbers.map { Float($0) }
  }
}

extension MixtureRecord.Score {
  package var json: JSONValue {
    var object: JSONObject = [
      "fit": fit.map { .number($0) } ?? .null, "held_out": heldOut.map { .number($0) } ?? .null,
    ]
    if let eval { object["eval"] = .number(eval) }
    return .object(object)
  }

  fileprivate init(_ reader: consuming ObjectReader) throws(ObjectReaderError) {
    self.init(
      fit: try reader.optionalDouble("fit"), heldOut: try reader.optionalDouble("held_out"),
      eval: try reader.optionalDouble("eval"))
    try reader.finish()
  }
}
