import StrictJSON
import SystemSupport

/// The files of one GGUF model: a single one, or the parts that llama-gguf-split makes, whichever of them was named.
///
///     Model-00001-of-00003.gguf   the metadata, split.no 0; it may have no tensors
///     Model-00002-of-00003.gguf   split.no 1, split.count 3, split.tensors.count of all parts together
struct GGUFParts {
  struct Part {
    let file: MappedFile
    let header: GGUFHeader
  }

  /// In their order.
  let parts: [Part]
  /// Of the model.
  let metadata: GGUFMetadata

  init(_ path: String) throws(ModelFormatError) {
    try refuseByteParts(path)
    let named = try Self.read(path)
    let metadata = GGUFMetadata(path: path, values: named.header.metadata)
    guard let count = try metadata.splitCount() else {
      self.parts = [named]
      self.metadata = metadata
      return
    }
    let name = try Self.name(of: path, metadata, count: count)
    let directory = FileSystem.split(path).directory
    let missing = name.all.filter { fileKind(directory + "/" + $0) == nil }
    guard missing.isEmpty else {
      throw .wrongParts(
        path: path,
        problem: "it is part \(name.number) of \(count), of which these are not beside it: \(missing.excerpt)",
        advice: "download all parts into one directory")
    }
    var parts: [Part] = []
    for (index, other) in name.all.enumerated() {
      try refuseUnfinishedDownload(directory + "/" + other)
      parts.append(index + 1 == name.number ? named : try Self.read(directory + "/" + other))
    }
    try Self.check(parts)
    self.parts = parts
    self.metadata = GGUFMetadata(path: parts[0].file.path, values: parts[0].header.metadata)
  }

  private static func read(_ path: String) throws(ModelFormatError) -> Part {
    let file = try MappedFile(path: path)
    let header = try unsafe GGUFHeader(file.bytes, path: path) { metadata, tensorCount throws(ModelFormatError) in
      // The parts behind the first one say nothing of the model.
      if try metadata.splitCount() != nil, try metadata.optionalInteger("split.no") != 0 { return }
      try metadata.refuseWhatIsNoModel(tensorCount: tensorCount)
      _ = try metadata.family()
    }
    return Part(file: file, header: header)
  }

  /// The other parts are found by the name, so it must say what the file does.
  private static func name(
    of path: String, _ metadata: GGUFMetadata, count: Int
  ) throws(ModelFormatError) -> GGUFPartName {
    let name = GGUFPartName(FileSystem.split(path).name)
    let number = try metadata.optionalInteger("split.no").map { min($0, .max - 1) + 1 }
    if let name, name.count == count, name.number == number { return name }
    throw .wrongParts(
      path: path,
      problem:
        "it is part \(number.map(String.init) ?? "(without number)") of \(count) of a split GGUF file, and its name "
        + (name.map { "says part \($0.number) of \($0.count)" } ?? "does not say so"),
      advice: "name the parts as they were, such as MODEL-00001-of-0000\(min(count, 9)).gguf")
  }

  private static func check(_ parts: [Part]) throws(ModelFormatError) {
    var partOfTensor: [String: Int] = [:]
    for (index, part) in parts.enumerated() {
      let metadata = GGUFMetadata(path: part.file.path, values: part.header.metadata)
      let (count, number) = (try metadata.splitCount() ?? 1, try metadata.optionalInteger("split.no") ?? 0)
      guard count == parts.count, number == index else {
        throw foreign(part, "by its metadata it is part \(min(number, .max - 1) + 1) of \(count)")
      }
      for tensor in part.header.tensors {
        if let other = partOfTensor.updateValue(index, forKey: tensor.name) {
          throw foreign(part, "tensor '\(tensor.name)' is in '\(FileSystem.split(parts[other].file.path).name)' too")
        }
      }
    }
    for part in parts {
      let metadata = GGUFMetadata(path: part.file.path, values: part.header.metadata)
      guard let total = try metadata.optionalInteger("split.tensors.count"), total != partOfTensor.count else {
        continue
      }
      throw foreign(part, "all parts should have \(total) tensors, and they have \(partOfTensor.count)")
    }
  }

  private static func foreign(_ part: Part, _ problem: String) -> ModelFormatError {
    .wrongParts(path: part.file.path, problem: problem, advice: "get all parts anew from one place")
  }
}

/// `Model-00001-of-00003.gguf`, as llama-gguf-split names the parts of a model.
package struct GGUFPartName {
  /// Without number and ending.
  package let stem: String
  /// From 1.
  let number: Int
  let count: Int
  private let countText: Substring

  /// More are nobody's.
  private static let maximumCount = 4096

  package init?(_ name: String) {
    guard let match = name.wholeMatch(of: /(.+)-([0-9]{5})-of-([0-9]{5})\.gguf/), let number = Int(match.2),
      let count = Int(match.3), (1...Self.maximumCount).contains(count), (1...count).contains(number)
    else { return nil }
    (stem, self.number, self.count, countText) = (String(match.1), number, count, match.3)
  }

  /// Of all parts.
  package var all: [String] {
    (1...count).map { number in
      let digits = String(number)
      return "\(stem)-\(String(repeating: "0", count: max(0, 5 - digits.count)))\(digits)-of-\(countText).gguf"
    }
  }
}

extension GGUFMetadata {
  /// Of how many files this is one; nil of one that is whole.
  func splitCount() throws(ModelFormatError) -> Int? {
    guard let count = try optionalInteger("split.count"), count > 1 else { return nil }
    return count
  }
}
