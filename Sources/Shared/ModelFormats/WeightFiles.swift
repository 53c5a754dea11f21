import StrictJSON
import SystemSupport

/// Which safetensors files of a directory hold the model's weights.
///
/// There must be one set of them: `model.safetensors`, the shards that `model.safetensors.index.json` names, or shards
/// whose numbers are whole. Where files of two sets lie there nobody can tell which one is the model; programs differ in
/// which they take, and each would give numbers.
struct WeightFiles {
  let names: [String]
  /// Which file has which tensor, by the index; empty without one.
  let index: [(tensor: String, file: String)]
  /// The index's sum of the bytes of all tensors; nil where it says none.
  let totalBytes: Int?
  let warnings: [String]

  private static let single = "model.safetensors"
  static let indexName = "model.safetensors.index.json"

  init(_ directory: ModelDirectory) throws(ModelFormatError) {
    let index = try Self.index(of: directory)
    let named = index?.files ?? []
    let there = named.filter(directory.has)
    let strays = directory.names.filter { Shard($0) != nil && !named.contains($0) }
    let hasSingle = directory.has(Self.single) && !named.contains(Self.single)

    let parts = there + strays
    if hasSingle {
      guard parts.isEmpty else { throw Self.ambiguous(directory, "'\(Self.single)'", parts) }
      if index != nil, let sign = directory.unfinishedWeights() {
        throw .unfinishedDownload(path: directory.path(of: named[0].excerpt), sign: sign)
      }
      self.init([Self.single], warnings: index == nil ? [] : [Self.staleIndex(named)])
      return
    }
    if let index {
      guard there.count == named.count else {
        let missing = named.filter { !directory.has($0) }
        throw Self.missing(missing, of: directory, there: parts, by: "which '\(Self.indexName)' names")
      }
      guard strays.isEmpty else { throw Self.ambiguous(directory, "the shards of '\(Self.indexName)'", strays) }
      self.init(named, index: index.tensors, totalBytes: index.totalBytes)
      return
    }
    guard let first = strays.first.flatMap(Shard.init) else { throw directory.withoutWeights() }
    if let other = strays.first(where: { Shard($0)?.count != first.count }) {
      throw Self.ambiguous(directory, "shards of \(first.count)", [other])
    }
    let numbered = first.names
    let missing = numbered.filter { !directory.has($0) }
    guard missing.isEmpty, strays.count == numbered.count else {
      throw Self.missing(
        missing.isEmpty ? [Self.indexName] : missing, of: directory, there: strays,
        by: missing.isEmpty ? "which says what these are" : "by the numbers of those that are there")
    }
    self.init(
      strays,
      warnings: [
        "there is no '\(Self.indexName)'; the \(strays.count) shards were read together, since their numbers are whole "
          + "and no tensor is in two of them"
      ])
  }

  private init(
    _ names: [String], index: [(tensor: String, file: String)] = [], totalBytes: Int? = nil, warnings: [String] = []
  ) {
    (self.names, self.index, self.totalBytes, self.warnings) = (names, index, totalBytes, warnings)
  }

  // MARK: The index

  private struct Index {
    var tensors: [(tensor: String, file: String)] = []
    var files: [String] = []
    var totalBytes: Int?
  }

  private static func index(of directory: ModelDirectory) throws(ModelFormatError) -> Index? {
    guard let object = try directory.json(indexName) else { return nil }
    let path = directory.path(of: indexName)
    guard let map = object["weight_map"]?.objectValue, map.count > 0 else {
      throw .missing(path: path, what: "object \"weight_map\"")
    }
    var index = Index()
    var known: Set<UTF8Key> = []
    for (tensor, value) in map.members {
      guard let name = value.stringValue, (1...255).contains(name.utf8.count), !name.utf8.contains(UInt8(ascii: "/")),
        name != "..", name != "."
      else {
        throw .malformed(
          path: path, place: "the entry of '\(tensor.excerpt)'",
          problem: "must be a file name, found \(value.excerpt)")
      }
      index.tensors.append((tensor, name))
      if known.insert(UTF8Key(name)).inserted { index.files.append(name) }
    }
    index.totalBytes = object["metadata"]?["total_size"]?.intValue
    return index
  }

  // MARK: What is wrong

  private static func staleIndex(_ shards: [String]) -> String {
    "'\(single)' was read; '\(indexName)' is not of it: it names shards that are not there (\(shards.sorted().excerpt)); "
      + "remove the index, or get the shards and remove '\(single)' where they are the model"
  }

  private static func ambiguous(
    _ directory: ModelDirectory, _ one: String, _ others: [String]
  ) -> ModelFormatError {
    .wrongParts(
      path: directory.path, problem: "\(one) and \(others.map { "'\($0)'" }.excerpt) may each be the model's weights",
      advice: "remove those that are not, and '\(indexName)' with the shards that it names")
  }

  private static func missing(
    _ missing: [String], of directory: ModelDirectory, there: [String], by reason: String
  ) -> ModelFormatError {
    if let sign = directory.unfinishedWeights() {
      return .unfinishedDownload(path: directory.path(of: missing[0].excerpt), sign: sign)
    }
    let found = there.isEmpty ? "none of its shards is" : "there \(there.count == 1 ? "is" : "are") \(there.excerpt)"
    return .wrongParts(
      path: directory.path, problem: "\(missing.map { "'\($0)'" }.excerpt), \(reason), is not there; \(found)",
      advice: "download or copy what is missing")
  }
}

/// `model-00001-of-00002.safetensors`, as `save_pretrained` numbers the parts of a model.
private struct Shard {
  let number: Int
  let count: Int

  init?(_ name: String) {
    guard let match = name.wholeMatch(of: /model-([0-9]{5})-of-([0-9]{5})\.safetensors/),
      let number = Int(match.1), let count = Int(match.2)
    else { return nil }
    (self.number, self.count) = (number, count)
  }

  /// Of all parts.
  var names: [String] { (1...max(1, count)).map { "model-\(Self.digits($0))-of-\(Self.digits(count)).safetensors" } }

  private static func digits(_ number: Int) -> String {
    let text = String(number)
    return String(repeating: "0", count: max(0, 5 - text.count)) + text
  }
}
