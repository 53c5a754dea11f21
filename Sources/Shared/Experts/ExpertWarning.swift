import ModelFormats

/// Something about an accepted expert that its owner should know.
package struct ExpertWarning: Sendable, Equatable, CustomStringConvertible {
  /// Stable names; they stand in answers and in the catalogue.
  package enum Code: String, Sendable, CaseIterable {
    case noMetadata = "no_metadata"
    case missingMetadata = "missing_metadata"
    case missingBaseDigest = "missing_base_digest"
    case foreignBase = "foreign_base"
    case otherArchitecture = "other_architecture"
    case unknownKey = "unknown_key"
    case notJSON = "not_json"
    case constantVector = "constant_vector"
    case endOfZeros = "end_of_zeros"
    case unusualRange = "unusual_range"
    /// What wrappers put around all names was taken off.
    case wrapperPrefix = "wrapper_prefix"
    /// What all names lack was added.
    case shortNames = "short_names"
    /// A matrix of one row or column was read as a vector.
    case rowShape = "row_shape"
    /// Values were rounded to 32 bits.
    case rounded
    /// Something beside the vectors was left aside.
    case passedOver = "passed_over"
    /// Multipliers of 1 for matrices that the model does not factor.
    case notFactored = "not_factored"
  }

  package let code: Code
  package let message: String

  package init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  package var description: String { "\(code.rawValue): \(message)" }

  static let noMetadata = ExpertWarning(
    .noMetadata, "the file has no t2.* metadata; its numbers are taken as multipliers without a rescale")

  /// `example` is one of the file's names.
  static func wrapperPrefix(_ wrapper: WrapperPrefix, example: String) -> ExpertWarning {
    ExpertWarning(
      .wrapperPrefix,
      "its names have \(wrapper), and are read without: '\(example)' is '\(wrapper.strip(example))'")
  }

  /// Of the vectors that are read; none where nothing was rounded.
  static func rounding(_ vectors: [(name: String, isRounded: Bool)]) -> [ExpertWarning] {
    let rounded = vectors.filter(\.isRounded)
    guard let first = rounded.first else { return [] }
    return [
      ExpertWarning(
        .rounded,
        "\(rounded.count) of \(vectors.count) vectors are of 64 bits a value and were rounded to 32; the first is "
          + "'\(first.name)'")
    ]
  }

  static func missingMetadata(_ keys: [String]) -> ExpertWarning {
    ExpertWarning(
      .missingMetadata,
      "\(keys.joined(separator: ", ")) missing; taken are t2-expert, param_space multiplier, rescale none")
  }

  static func unknownKey(_ key: String, nearest: String?) -> ExpertWarning {
    ExpertWarning(.unknownKey, "metadata key '\(key)' is unknown" + (nearest.map { "; did you mean '\($0)'?" } ?? ""))
  }

  static func notJSON(key: String, problem: String) -> ExpertWarning {
    ExpertWarning(.notJSON, "metadata \(key) is not JSON: \(problem)")
  }
}
