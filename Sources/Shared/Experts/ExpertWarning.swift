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
    case unusualRange = "unusual_range"
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
