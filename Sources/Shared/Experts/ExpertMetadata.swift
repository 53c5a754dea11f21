package import Digests
package import Multipliers
import StrictJSON

/// What an expert is for.
package enum ExpertKind: String, Sendable, CaseIterable {
  case expert
  /// Classifies requests: strategy `classifier` (arXiv 2501.06252, section 3.2, B).
  case dispatcher
  /// The multipliers of a mixture, written by t2d.
  case mixture
}

/// The `t2.*` entries of an expert file. Everything in the file is a string; here it is typed and checked.
package struct ExpertMetadata: Sendable, Equatable {
  package var name: String?
  package var label: String?
  package var kind = ExpertKind.expert
  package var parameterSpace = ParameterSpace.multiplier
  package var maximumMultiplier: Float = 1
  package var rescale = Rescale.none
  package var baseModelID: String?
  package var baseDigest: Digest?
  package var baseArchitecture: String?
  package var task: String?
  package var summary: String?
  package var license: String?
  package var created: String?
  /// JSON texts, as they are.
  package var metrics: String?
  package var trainedWith: String?
  package var parents: String?

  package init() {}

  /// Keys that are known without being used here.
  private static let otherKeys = [
    "t2.author", "t2.base.revision", "t2.base.spectrum_digest", "t2.data.digest", "t2.svd", "t2.targets",
  ]

  /// Reads the entries of a file. Entries of others (`format`, `modelspec.*`) are left alone. An unknown *value* is an
  /// error, since it would change what the numbers mean; an unknown `t2.` *key* is kept and warned of.
  package init(
    _ entries: [(key: String, value: String)], warnings: inout [ExpertWarning]
  ) throws(ExpertFileError) {
    var reader = EntryReader(entries)
    let hasOwnEntries = entries.contains { $0.key.hasPrefix("t2.") }
    try reader.check("t2.format", is: "t2-expert")
    try reader.check("t2.version", is: "1")
    name = try reader.text("t2.name", allowed: ExpertName.rule, ExpertName.isValid)
    label = try reader.text(
      "t2.label", allowed: "\(ExpertName.rule), and not \"\(ExpertName.reservedLabel)\"", ExpertName.isValidLabel)
    kind = try reader.choice("t2.kind") ?? .expert
    let space: ParameterSpace? = try reader.choice("t2.param_space")
    parameterSpace = space ?? .multiplier
    let rescale: Rescale? = try reader.choice("t2.rescale")
    self.rescale = rescale ?? .none
    if let mask = reader.take("t2.mask") {
      let expected = parameterSpace == .logit ? "sigmoid" : "none"
      guard mask == expected else {
        throw .badMetadata(
          key: "t2.mask", found: mask, allowed: "\"\(expected)\" with param_space \"\(parameterSpace.rawValue)\"")
      }
    }
    if let text = reader.take("t2.max_mult") {
      guard let value = Float(text), value.isFinite, value > 0 else {
        throw .badMetadata(key: "t2.max_mult", found: text, allowed: "a positive number")
      }
      maximumMultiplier = value
    }
    if let text = reader.take("t2.base.digest") {
      // Hashing programs print the digits alone.
      guard let digest = Digest(description: text) ?? Digest(hex: text) else {
        throw .badMetadata(
          key: "t2.base.digest", found: text, allowed: "64 hexadecimal digits, or sha256: and those")
      }
      baseDigest = digest
    }
    baseModelID = reader.take("t2.base.model_id")
    baseArchitecture = reader.take("t2.base.arch")
    task = reader.take("t2.task")
    summary = reader.take("t2.description")
    license = reader.take("t2.license")
    created = reader.take("t2.created")
    metrics = reader.take("t2.metrics")
    trainedWith = reader.take("t2.trained_with")
    parents = reader.take("t2.parents")

    if hasOwnEntries {
      let missing = [
        ("t2.format", reader.has("t2.format")), ("t2.param_space", space != nil), ("t2.rescale", rescale != nil),
      ].filter { !$0.1 }.map(\.0)
      if !missing.isEmpty {
        warnings.append(.missingMetadata(missing))
      }
    } else {
      warnings.append(.noMetadata)
    }
    for (key, text) in [("t2.metrics", metrics), ("t2.trained_with", trainedWith), ("t2.parents", parents)] {
      guard let text else { continue }
      do throws(JSONError) { _ = try parseJSON(text) } catch {
        warnings.append(.notJSON(key: key, problem: "\(error)"))
      }
    }
    for key in reader.untaken where key.hasPrefix("t2.") && !Self.otherKeys.contains(key) {
      warnings.append(.unknownKey(key, nearest: nearestName(to: key, among: reader.known + Self.otherKeys)))
    }
  }

  /// The entries of a file that reads back as this.
  package var entries: [(key: String, value: String)] {
    let optional: [(String, String?)] = [
      ("t2.mask", parameterSpace == .logit ? "sigmoid" : nil), ("t2.name", name), ("t2.label", label),
      ("t2.base.model_id", baseModelID),
      ("t2.base.digest", baseDigest?.description), ("t2.base.arch", baseArchitecture), ("t2.task", task),
      ("t2.description", summary), ("t2.license", license), ("t2.created", created), ("t2.metrics", metrics),
      ("t2.trained_with", trainedWith), ("t2.parents", parents),
    ]
    return [
      ("t2.format", "t2-expert"), ("t2.version", "1"), ("t2.kind", kind.rawValue),
      ("t2.param_space", parameterSpace.rawValue), ("t2.max_mult", Self.shortest(maximumMultiplier)),
      ("t2.rescale", rescale.rawValue),
    ] + optional.compactMap { key, value in value.map { (key, $0) } }
  }

  /// "1" for 1.0, as the reference's files have it.
  static func shortest(_ value: Float) -> String {
    let text = value.description
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
  }
}

/// Takes entries by key and remembers which were asked for.
private struct EntryReader {
  private let entries: [UTF8Key: String]
  private(set) var known: [String] = []

  init(_ entries: [(key: String, value: String)]) {
    var map: [UTF8Key: String] = [:]
    for (key, value) in entries { map[UTF8Key(key)] = value }
    self.entries = map
  }

  func has(_ key: String) -> Bool { entries[UTF8Key(key)] != nil }

  mutating func take(_ key: String) -> String? {
    known.append(key)
    return entries[UTF8Key(key)]
  }

  mutating func check(_ key: String, is expected: String) throws(ExpertFileError) {
    guard let found = take(key), found != expected else { return }
    throw .badMetadata(key: key, found: found, allowed: "\"\(expected)\"")
  }

  mutating func text(
    _ key: String, allowed: String, _ isValid: (String) -> Bool
  ) throws(ExpertFileError) -> String? {
    guard let found = take(key) else { return nil }
    guard isValid(found) else { throw .badMetadata(key: key, found: found, allowed: allowed) }
    return found
  }

  mutating func choice<Choice: RawRepresentable<String> & CaseIterable>(
    _ key: String
  ) throws(ExpertFileError) -> Choice? {
    guard let found = take(key) else { return nil }
    if let choice = Choice(rawValue: found) { return choice }
    throw .badMetadata(
      key: key, found: found, allowed: Choice.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", "))
  }

  /// In the order of their bytes.
  var untaken: [String] {
    let taken = Set(known.map { UTF8Key($0) })
    return entries.keys.filter { !taken.contains($0) }.sorted().map(\.string)
  }
}
