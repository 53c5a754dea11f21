package import Digests
package import Multipliers
package import StrictJSON

/// An expert that fits a model: finite numbers of the right lengths under names that the model has.
package struct ValidatedExpert: Sendable {
  /// How the base that the file names relates to the model.
  package enum BaseMatch: String, Sendable {
    case same
    /// The file names no base.
    case unstated
    /// The file names another base of the same shapes: usable after a transfer check, or on request.
    case foreign
  }

  package let name: String
  package let metadata: ExpertMetadata
  /// The registered model's name and digest.
  package let model: String
  package let modelDigest: Digest
  package let baseMatch: BaseMatch
  package let layout: MultiplierLayout
  /// The file's numbers, in the model's order of matrices; matrices that it does not name are not there.
  package let parameters: [(matrix: Int, values: [Float])]
  package internal(set) var warnings: [ExpertWarning]
  /// Two files with the same content are one version, whatever their bytes.
  package let contentDigest: Digest

  package var label: String? { metadata.label }
  package var kind: ExpertKind { metadata.kind }
  package var rescale: Rescale { metadata.rescale }
  package var isForeign: Bool { baseMatch == .foreign }

  /// The multipliers s of every target matrix, before any rescale; 1 for matrices that the expert does not name.
  package var multiplierVector: MultiplierVector {
    MultiplierVector(
      layout: layout,
      named: parameters.map { matrix, values in
        (
          matrix,
          multipliers(from: values, space: metadata.parameterSpace, maximumMultiplier: metadata.maximumMultiplier)
        )
      })
  }

  /// A multiplier of zeros alone removes its matrix, and is what the blocks look like that a download has reserved and not
  /// written. A part of a vector may be zero: who truncates a decomposition wants that.
  func refuseZeros() throws(ExpertFileError) {
    guard metadata.parameterSpace == .multiplier else { return }
    let empty = parameters.filter { $0.values.allSatisfy { $0 == 0 } }
    guard let first = empty.first else { return }
    throw .allZero(tensor: layout.matrices[first.matrix].name, count: empty.count, of: parameters.count)
  }

  /// The facts for a catalogue and for `expert show`; the numbers are not in it.
  package var summary: JSONObject {
    var object: JSONObject = [
      "name": .string(name), "kind": .string(kind.rawValue), "label": JSONValue(metadata.label),
      "model": .string(model), "base_match": .string(baseMatch.rawValue),
      "base_digest": JSONValue(metadata.baseDigest?.description), "base_model_id": JSONValue(metadata.baseModelID),
      "base_arch": JSONValue(metadata.baseArchitecture),
      "param_space": .string(metadata.parameterSpace.rawValue), "max_mult": .float(metadata.maximumMultiplier),
      "rescale": .string(metadata.rescale.rawValue), "matrices": JSONValue(parameters.count),
      "parameters": JSONValue(parameters.reduce(0) { $0 + $1.values.count }),
      "content_digest": .string(contentDigest.description),
      "warnings": .array(warnings.map { ["code": .string($0.code.rawValue), "message": .string($0.message)] }),
    ]
    let texts: [(String, String?)] = [
      ("task", metadata.task), ("description", metadata.summary), ("license", metadata.license),
      ("created", metadata.created), ("metrics", metadata.metrics), ("trained_with", metadata.trainedWith),
      ("parents", metadata.parents),
    ]
    for (key, text) in texts {
      if let text { object[key] = .string(text) }
    }
    return object
  }
}
