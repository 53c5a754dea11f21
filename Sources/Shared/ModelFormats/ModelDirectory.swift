import FileKinds
import Glibc
import StrictJSON
import SystemSupport

/// A directory that may be a model's: its names, listed once, and its small files.
///
/// What it is where it is no model, `ModelDirectory+Kinds.swift` says, and which of its files are the weights,
/// `WeightFiles.swift`.
struct ModelDirectory {
  /// Without a slash at its end.
  let path: String
  /// Sorted by bytes; those that are not UTF-8 are no file of a model.
  let names: [String]
  private let known: Set<UTF8Key>

  /// More names than this are no model's.
  private static let maximumNames = 100_000

  init(_ path: String) throws(ModelFormatError) {
    self.path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    names = try Self.names(in: self.path)
    known = Set(names.map(UTF8Key.init))
  }

  /// Sorted by bytes.
  static func names(in path: String) throws(ModelFormatError) -> [String] {
    do throws(SystemCallError) {
      return try FileSystem.entries(path, limit: maximumNames).compactMap(\.text)
        .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    } catch {
      throw .system(error)
    }
  }

  func has(_ name: String) -> Bool { known.contains(UTF8Key(name)) }

  func path(of name: String) -> String { path + "/" + name }

  /// The bytes of a file of at most 64 MiB, without a byte order mark; nil where there is none. What is not `expected` but
  /// something that is known is refused.
  func bytes(of name: String, expected: String) throws(ModelFormatError) -> [UInt8]? {
    guard has(name) else { return nil }
    let path = path(of: name)
    try checkLink(name)
    let file = try MappedFile(path: path)
    guard file.count <= modelJSONLimits.maximumBytes else {
      throw .malformed(
        path: path, place: "the file", problem: "\(file.count) bytes; at most \(modelJSONLimits.maximumBytes)")
    }
    let bytes = file.copy()
    if let kind = FileKind(beginning: bytes) { throw .anotherKind(path: path, kind, expected: expected) }
    return bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(bytes.dropFirst(3)) : bytes
  }

  /// Of a file that begins as a JSON object does; the rest is not looked at.
  func jsonBytes(of name: String) throws(ModelFormatError) -> [UInt8]? {
    guard let bytes = try bytes(of: name, expected: "JSON") else { return nil }
    let isBlank = { (byte: UInt8) in byte == 0x20 || (0x09...0x0D).contains(byte) }
    if let first = bytes.first(where: { !isBlank($0) }), first == UInt8(ascii: "{") { return bytes }
    throw .malformed(
      path: path(of: name), place: "the file", problem: "it does not begin with '{', as a JSON object does")
  }

  /// A JSON object; nil where there is no such file.
  func json(_ name: String) throws(ModelFormatError) -> JSONObject? {
    guard let bytes = try jsonBytes(of: name) else { return nil }
    return try modelJSON(bytes, path: path(of: name))
  }

  /// Refuses a name that is a link to nothing, as the snapshots of a hub's cache have when they were copied alone.
  func checkLink(_ name: String) throws(ModelFormatError) {
    do throws(SystemCallError) {
      guard try FileSystem.status(path(of: name), followingLinks: false)?.kind == .symbolicLink,
        try FileSystem.status(path(of: name), followingLinks: true) == nil
      else { return }
    } catch {
      return  // Whoever opens it is told the same.
    }
    throw .wrongParts(
      path: path(of: name), problem: "it is a symbolic link to a file that is not there",
      advice: "copy the directory where it is whole, with the files that its links lead to: cp -rL")
  }
}

/// What lies at a path, links followed; nil where there is nothing that can be seen.
func fileKind(_ path: String) -> FileStatus.Kind? {
  ((try? FileSystem.status(path, followingLinks: true)) ?? nil)?.kind
}

/// Refuses a file whose download is not at its end: by its name, or by what lies beside it. Its bytes do not tell, since
/// aria2 and others give a file its whole size at once and its first bytes first.
func refuseUnfinishedDownload(_ path: String) throws(ModelFormatError) {
  let name = FileSystem.split(path).name
  for ending in UnfinishedDownload.endings {
    if name.hasSuffix(ending) { throw .unfinishedDownload(path: path, sign: nil) }
    if unsafe access(path + ending, F_OK) == 0 { throw .unfinishedDownload(path: path, sign: name + ending) }
  }
}

/// The JSON of a file of a model; nil where it is no object.
func modelJSON(_ bytes: [UInt8], path: String) throws(ModelFormatError) -> JSONObject? {
  do throws(JSONError) {
    return try parseJSON(bytes, limits: modelJSONLimits).objectValue
  } catch {
    throw .badJSON(path: path, error)
  }
}

private let modelJSONLimits = JSONLimits(maximumDepth: 64, oddNumbers: .integersRounded)
