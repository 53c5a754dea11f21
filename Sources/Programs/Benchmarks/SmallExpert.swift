import Glibc
import StrictJSON
import SystemSupport

/// Experts of one short vector each, so that a bank of many thousands is soon written: the shortest tensor of a given file,
/// with other bits in each.
struct SmallExpert {
  private let header: [UInt8]
  private let values: [UInt8]

  init(of file: [UInt8]) throws {
    let (json, data) = try Self.parts(of: file)
    var shortest: (name: String, range: Range<Int>, tensor: JSONObject)?
    for (name, tensor) in json.members where name != "__metadata__" {
      let offsets = tensor["data_offsets"]?.arrayValue?.compactMap(\.intValue) ?? []
      guard offsets.count == 2, offsets[0] < offsets[1], offsets[1] <= data.count, let tensor = tensor.objectValue
      else {
        throw BenchmarkError("the expert file has a tensor '\(escaped(name))' without a place")
      }
      let range = offsets[0]..<offsets[1]
      if shortest.map({ range.count < $0.range.count }) ?? true { shortest = (name, range, tensor) }
    }
    guard let (name, range, found) = shortest else { throw BenchmarkError("the expert file has no tensor") }
    var tensor = found
    tensor["data_offsets"] = [0, JSONValue(range.count)]
    header = Self.header([
      // Named by its file, of no task, so that nothing is checked.
      "__metadata__": .object(Self.metadata(json, without: ["t2.name", "t2.task", "t2.label"])),
      name: .object(tensor),
    ])
    values = Array(data[data.startIndex + range.lowerBound..<data.startIndex + range.upperBound])
  }

  static func file(_ number: Int) -> String { "small\(number).safetensors" }

  /// Without waiting for the disk.
  func write(_ number: Int, to directory: String) throws {
    var bytes = header + values
    // The lower halves of two floats: 2^32 contents, hardly another value.
    for (place, shift) in [(0, 0), (1, 8), (4, 16), (5, 24)] {
      bytes[header.count + place] = UInt8(truncatingIfNeeded: number >> shift)
    }
    let file = try FileDescriptor.open("\(directory)/\(Self.file(number))", O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
    try file.write(all: bytes)
  }

  /// The same expert under another name.
  static func renamed(_ file: [UInt8], _ name: String) throws -> [UInt8] {
    var (json, data) = try parts(of: file)
    var metadata = metadata(json, without: ["t2.task", "t2.label"])
    metadata["t2.name"] = .string(name)
    json["__metadata__"] = .object(metadata)
    return header(json) + data
  }

  private static func metadata(_ header: JSONObject, without names: Set<String>) -> JSONObject {
    var metadata = header["__metadata__"]?.objectValue ?? [:]
    for name in names { metadata[name] = nil }
    return metadata
  }

  /// Eight bytes that say how long the header is, the header, the data.
  private static func parts(of file: [UInt8]) throws -> (JSONObject, ArraySlice<UInt8>) {
    let length = file.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    guard file.count >= 8, length <= file.count - 8, let json = try? parseJSON(Array(file[8..<8 + length])).objectValue
    else { throw BenchmarkError("the expert file is no safetensors file") }
    return (json, file[(8 + length)...])
  }

  private static func header(_ json: JSONObject) -> [UInt8] {
    var text = Array(JSONValue.object(json).jsonText.utf8)
    text += [UInt8](repeating: 0x20, count: (8 - text.count % 8) % 8)
    return (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) } + text
  }
}
