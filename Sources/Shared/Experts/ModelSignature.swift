package import Digests
package import ModelFormats
package import Multipliers
package import StrictJSON

/// What an expert file is checked against: a registered model's identity and its target matrices.
package struct ModelSignature: Sendable, Equatable {
  /// The name under which the model is registered.
  package let name: String
  /// The checkpoint's own name, as expert files give it in `t2.base.model_id`.
  package let modelID: String
  package let digest: Digest
  /// Hugging Face's class name.
  package let architecture: String
  package let layout: MultiplierLayout

  package init(name: String, modelID: String, digest: Digest, architecture: String, layout: MultiplierLayout) {
    self.name = name
    self.modelID = modelID
    self.digest = digest
    self.architecture = architecture
    self.layout = layout
  }

  package init(name: String, model: OpenModel, digest: Digest) {
    self.init(
      name: name, modelID: model.configuration.modelID, digest: digest, architecture: model.configuration.architecture,
      layout: MultiplierLayout(model.targets))
  }

  /// The same model under another name.
  package func named(_ name: String) -> ModelSignature {
    ModelSignature(name: name, modelID: modelID, digest: digest, architecture: architecture, layout: layout)
  }

  /// As the worker reports it and the catalogue keeps it.
  package var json: JSONValue {
    let matrices = layout.matrices.map { matrix -> JSONValue in
      var entry: JSONObject = [
        "name": .string(matrix.name), "rows": JSONValue(matrix.rows), "columns": JSONValue(matrix.columns),
        "layer": matrix.layer.map { JSONValue($0) } ?? .null,
      ]
      if !matrix.isFactored { entry["factored"] = false }
      return .object(entry)
    }
    return [
      "name": .string(name), "model_id": .string(modelID), "digest": .string(digest.description),
      "architecture": .string(architecture), "matrices": .array(matrices),
    ]
  }

  package init(json: JSONValue) throws(ObjectReaderError) {
    var reader = try ObjectReader(reading: json, path: "model signature")
    let name = try reader.string("name")
    let modelID = try reader.string("model_id")
    let digest = try reader.digest("digest")
    let architecture = try reader.string("architecture")
    var matrices: [TargetMatrix] = []
    var names: Set<UTF8Key> = []
    for (index, value) in try reader.array("matrices").enumerated() {
      var entry = try ObjectReader(reading: value, path: "model signature: matrices[\(index)]")
      let matrix = TargetMatrix(
        name: try entry.string("name"), rows: try entry.int("rows", in: 1...1 << 32),
        columns: try entry.int("columns", in: 1...1 << 32), layer: try entry.optionalInt("layer", in: 0...1 << 20),
        isFactored: try entry.optionalBool("factored") ?? true)
      try entry.finish()
      guard names.insert(UTF8Key(matrix.name)).inserted else {
        throw ObjectReaderError(
          kind: .outOfRange, path: entry.path, key: "name", problem: "\"\(matrix.name.excerpt)\" is there twice")
      }
      matrices.append(matrix)
    }
    try reader.finish()
    self.init(
      name: name, modelID: modelID, digest: digest, architecture: architecture, layout: MultiplierLayout(matrices))
  }
}

extension ObjectReader {
  /// A digest as text: `sha256:` and 64 hexadecimal digits.
  package mutating func digest(_ key: String) throws(ObjectReaderError) -> Digest {
    let text = try string(key)
    guard let digest = Digest(description: text) else {
      throw ObjectReaderError(
        kind: .outOfRange, path: path, key: key,
        problem: "\"\(key)\" must be sha256: and 64 hexadecimal digits, found \"\(text.excerpt)\"")
    }
    return digest
  }
}
