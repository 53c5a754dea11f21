package import Multipliers
package import StrictJSON

/// A model as the worker finds it.
package struct ModelReference: Sendable, Equatable, Hashable {
  /// A `.gguf` file or a Hugging Face directory.
  package var path: String
  /// What was found when the model was registered; a model that answers with another one is `model_changed`. Empty at
  /// the first inspection.
  package var digest: String
  /// Where its factorization is kept between runs.
  package var cacheDirectory: String

  package init(path: String, digest: String, cacheDirectory: String) {
    self.path = path
    self.digest = digest
    self.cacheDirectory = cacheDirectory
  }

  package var json: JSONValue {
    object([
      ("path", .string(path)), ("digest", .string(digest)), ("cache_directory", .string(cacheDirectory)),
    ])
  }

  package init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "model")
    self.init(
      path: try fields.string("path"), digest: try fields.optionalString("digest") ?? "",
      cacheDirectory: try fields.string("cache_directory"))
  }
}

/// One version of an expert: its name for people, its digest for identity, and the read-only blob in the store.
package struct ExpertReference: Sendable, Equatable, Hashable {
  package var name: String
  package var version: Int
  package var digest: String
  package var path: String

  package init(name: String, version: Int, digest: String, path: String) {
    self.name = name
    self.version = version
    self.digest = digest
    self.path = path
  }

  package var json: JSONValue {
    object([
      ("name", .string(name)), ("version", .integer(Int64(version))), ("digest", .string(digest)),
      ("path", .string(path)),
    ])
  }

  package init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "expert")
    self.init(
      name: try fields.string("name"), version: try fields.integer("version"), digest: try fields.string("digest"),
      path: try fields.string("path"))
  }
}

/// Which weights a request sees. A single expert is `alpha` = e_k, exact in `delta`.
package enum Weights: Sendable, Equatable {
  case base
  case mixture(Mixture)

  package struct Mixture: Sendable, Equatable {
    package var experts: [ExpertReference]
    package var granularity: Granularity
    package var mix: MixRule
    package var rescale: Rescale
    /// `[expert][unit]`: one unit for `vector`, the model's order of layers or matrices otherwise.
    package var alpha: [[Float]]

    package init(
      experts: [ExpertReference], granularity: Granularity, mix: MixRule, rescale: Rescale, alpha: [[Float]]
    ) {
      self.experts = experts
      self.granularity = granularity
      self.mix = mix
      self.rescale = rescale
      self.alpha = alpha
    }
  }

  /// One expert alone.
  package static func expert(_ expert: ExpertReference, rescale: Rescale) -> Weights {
    .mixture(Mixture(experts: [expert], granularity: .vector, mix: .delta, rescale: rescale, alpha: [[1]]))
  }

  package var json: JSONValue {
    switch self {
    case .base: object([("base", .bool(true))])
    case .mixture(let mixture):
      object([
        ("experts", list(mixture.experts, \.json)),
        (
          "mixture",
          object([
            ("granularity", .string(mixture.granularity.rawValue)), ("mix", .string(mixture.mix.rawValue)),
            ("rescale", .string(mixture.rescale.rawValue)), ("alpha", alphaJSON(mixture.alpha)),
          ])
        ),
      ])
    }
  }

  package init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "weights")
    if try fields.optionalBool("base") == true {
      self = .base
      return
    }
    let mixture = try fields.fields("mixture")
    self = .mixture(
      Mixture(
        experts: try fields.each("experts") { (value, _) throws(WorkerProtocolError) in
          try ExpertReference(decoding: value)
        },
        granularity: try mixture.granularity("granularity"), mix: try mixture.mixRule("mix"),
        rescale: try mixture.rescale("rescale"), alpha: try mixture.alpha("alpha")))
  }
}

/// Coefficients on the wire: shortest text that gives the same float back.
func alphaJSON(_ alpha: [[Float]]) -> JSONValue { list(alpha) { list($0) { .float($0) } } }

extension Fields {
  func alpha(_ key: String) throws(WorkerProtocolError) -> [[Float]] {
    try each(key) { (value, path) throws(WorkerProtocolError) in
      guard case .array(let row) = value else { throw .wrongType(path: path, expected: "a list of numbers") }
      var floats: [Float] = []
      for element in row { floats.append(Float(try Fields.double(element, path))) }
      return floats
    }
  }

  func granularity(_ key: String) throws(WorkerProtocolError) -> Granularity {
    let text = try string(key)
    guard let value = Granularity(rawValue: text) else {
      throw .unknownValue(path: key, found: text, known: ["vector", "layer", "matrix"])
    }
    return value
  }
  func mixRule(_ key: String) throws(WorkerProtocolError) -> MixRule {
    let text = try string(key)
    guard let value = MixRule(rawValue: text) else {
      throw .unknownValue(path: key, found: text, known: ["sum", "delta"])
    }
    return value
  }
  func rescale(_ key: String) throws(WorkerProtocolError) -> Rescale {
    let text = try string(key)
    guard let value = Rescale(rawValue: text) else {
      throw .unknownValue(path: key, found: text, known: ["none", "nuclear"])
    }
    return value
  }
}
