import StrictJSON

/// How positions turn queries and keys.
///
/// transformers 5 has all of it in `rope_parameters`, which Gemma divides by the layers that it is for; older files have
/// `rope_theta`, `rope_scaling`, and `rope_local_base_freq` for Gemma's layers with a window.
extension HuggingFaceConfig {
  /// Which layers of a family with two rotations, by their name in `layer_types`.
  enum RotatedLayers: String {
    case full = "full_attention"
    case sliding = "sliding_attention"
  }

  /// The rotation of all layers, or of some. `theta` is its base where the file does not say, `scalings` what the family
  /// has beside none.
  func rotation(
    theta: Double, scalings: [RotaryScaling] = [], of layers: RotatedLayers? = nil
  ) throws(ModelFormatError) -> Rotation {
    let parameters = try self.parameters(at: "rope_parameters", of: layers)
    // Older files scale the layers that see everything only.
    let older = layers == .sliding ? nil : try self.parameters(at: "rope_scaling", of: nil)
    let scaling = try parameters.map { parameters throws(ModelFormatError) in
      try self.scaling(parameters, among: scalings)
    }
    let olderScaling = try older.map { older throws(ModelFormatError) in try self.scaling(older, among: scalings) }
    if let scaling, let olderScaling, scaling != olderScaling {
      throw .malformed(
        path: path, place: "\"rope_scaling\"", problem: "it says another thing than \"rope_parameters\"")
    }
    let olderTheta = try optionalNumber(layers == .sliding ? "rope_local_base_freq" : "rope_theta")
    return Rotation(
      theta: try parameters?.number("rope_theta") ?? olderTheta ?? theta, scaling: scaling ?? olderScaling ?? .none)
  }

  private func parameters(
    at key: String, of layers: RotatedLayers?
  ) throws(ModelFormatError) -> RotationParameters? {
    guard let value = optional(key) else { return nil }
    guard let object = value.objectValue else { throw wrongKind(key, value, "an object") }
    let all = RotationParameters(path: path, key: key, object: object)
    let nested = [RotatedLayers.full, .sliding].map(\.rawValue).filter { object[$0] != nil }
    guard let layers else {
      if let name = nested.first { throw all.unsupported(name, "one rotation for all layers") }
      return all
    }
    if nested.isEmpty, object.count > 0 {
      throw .unsupported(
        path: path, what: "\"\(key)\"", found: value.excerpt,
        supported: "an object with \"full_attention\" and \"sliding_attention\"")
    }
    guard let part = object[layers.rawValue], !part.isNull else { return nil }
    guard let object = part.objectValue else { throw wrongKind("\(key).\(layers.rawValue)", part, "an object") }
    return RotationParameters(path: path, key: "\(key).\(layers.rawValue)", object: object)
  }

  private func scaling(
    _ parameters: RotationParameters, among kinds: [RotaryScaling]
  ) throws(ModelFormatError) -> Rotation.Scaling {
    let name = try parameters.type()
    let kind = kinds.first { $0.rawValue == name }
    guard kind != nil || name == "default" else {
      throw .unsupported(
        path: path, what: "the rotary scaling (\"\(parameters.key)\")", found: "\"\(name.excerpt)\"",
        supported: kinds.isEmpty ? "none" : kinds.map { "\"\($0.rawValue)\"" }.joined(separator: ", ") + " or none")
    }
    try parameters.refuseOthers(but: kind == nil ? [] : ["factor"])
    switch kind {
    case nil: return .none
    case .linear: return .linear(factor: try parameters.needed("factor"))
    case .llama3:
      let context = try parameters.needed("original_max_position_embeddings")
      guard let originalContext = Int(exactly: context) else {
        throw parameters.unsupported("original_max_position_embeddings", "a number of positions")
      }
      // transformers takes the one beside the object where there is one.
      if let beside = try optionalInteger("original_max_position_embeddings"), beside != originalContext {
        throw unsupported(
          "original_max_position_embeddings", "the \(originalContext) of \"\(parameters.key)\", or nothing")
      }
      return .llama3(
        factor: try parameters.needed("factor"), lowFrequency: try parameters.needed("low_freq_factor"),
        highFrequency: try parameters.needed("high_freq_factor"), originalContext: originalContext)
    }
  }
}

/// The object of one rotation.
private struct RotationParameters {
  let path: String
  /// Where it stands.
  let key: String
  let object: JSONObject

  func type() throws(ModelFormatError) -> String {
    guard let value = [object["rope_type"], object["type"]].compactMap({ $0 }).first(where: { !$0.isNull }) else {
      return "default"
    }
    guard let name = value.stringValue else { throw unsupported("rope_type", "a name") }
    return name
  }

  func number(_ member: String) throws(ModelFormatError) -> Double? {
    guard let value = object[member], !value.isNull else { return nil }
    guard let number = value.doubleValue else { throw unsupported(member, "a number") }
    return number
  }

  func needed(_ member: String) throws(ModelFormatError) -> Double {
    guard let number = try number(member) else { throw .missing(path: path, what: "\"\(key).\(member)\"") }
    return number
  }

  /// Members of other scalings, which change what is computed where they are obeyed.
  func refuseOthers(but known: Set<String>) throws(ModelFormatError) {
    for member in ["factor", "attention_factor", "mscale", "partial_rotary_factor"] where !known.contains(member) {
      if let found = try number(member), found != 1 { throw unsupported(member, "1") }
    }
    let others = [
      "mrope_section", "short_factor", "long_factor", "mscale_all_dim", "beta_fast", "beta_slow",
      "llama_4_scaling_beta",
    ]
    for member in others {
      if let found = object[member], !found.isNull { throw unsupported(member, "null") }
    }
  }

  func unsupported(_ member: String, _ supported: String) -> ModelFormatError {
    .unsupported(
      path: path, what: "\"\(key).\(member)\"", found: object[member]?.excerpt ?? "not there", supported: supported)
  }
}
