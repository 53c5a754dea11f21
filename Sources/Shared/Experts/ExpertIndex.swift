import FileKinds
import ModelFormats
import StrictJSON

/// The index of an expert in parts, `NAME.safetensors.index.json`: which of its files holds which tensor.
///
///     {"metadata": {...}, "weight_map": {"model.layers.0.mlp.up_proj.weight": "math-00001-of-00002.safetensors"}}
package struct ExpertIndex: Sendable {
  /// The files that it names, each once, in the order in which it does.
  package let files: [String]
  private let places: [(tensor: String, file: String)]

  package static let maximumBytes = 1 << 20

  package init(_ bytes: [UInt8]) throws(ExpertFileError) {
    if let kind = FileKind(beginning: bytes) { throw .badIndex(problem: "this is \(kind)") }
    let value: JSONValue
    do throws(JSONError) { value = try parseJSON(bytes) } catch { throw .badIndex(problem: "it is not JSON: \(error)") }
    guard let map = value["weight_map"]?.objectValue, map.count > 0 else {
      throw .badIndex(problem: "it has no \"weight_map\" that names a tensor")
    }
    var files: [String] = []
    var places: [(tensor: String, file: String)] = []
    for (tensor, value) in map.members {
      guard let file = value.stringValue, (1...255).contains(file.utf8.count), !file.utf8.contains(UInt8(ascii: "/")),
        file != ".", file != ".."
      else {
        throw .badIndex(problem: "the file of '\(tensor.excerpt)' must be a name beside it, found \(value.excerpt)")
      }
      if !files.contains(file) { files.append(file) }
      places.append((tensor, file))
    }
    self.files = files
    self.places = places
  }

  /// One file of the parts, which are the whole ``files``: their tensors as they are, and what they all say of themselves.
  package func joined(_ parts: [(name: String, bytes: [UInt8])]) throws(ExpertFileError) -> [UInt8] {
    var opened: [(name: String, file: SafetensorsFile)] = []
    for (name, bytes) in parts {
      do throws(SafetensorsError) { opened.append((name, try SafetensorsFile(bytes))) } catch {
        throw .badIndex(problem: "its part '\(name.excerpt)': \(error)")
      }
    }
    for (tensor, file) in places {
      guard opened.contains(where: { $0.name == file && $0.file.tensor(tensor) != nil }) else {
        throw .badIndex(problem: "it places '\(tensor.excerpt)' in '\(file.excerpt)', which does not hold it")
      }
    }
    for (name, file) in opened {
      if let other = file.tensors.first(where: { tensor in
        !places.contains { UTF8Key($0.tensor) == UTF8Key(tensor.name) && $0.file == name }
      }) {
        throw .badIndex(problem: "'\(name.excerpt)' holds '\(other.name)', which it does not place there")
      }
    }
    var metadata: [(key: String, value: String)] = []
    for (name, file) in opened {
      for (key, value) in file.metadata {
        guard let known = metadata.first(where: { UTF8Key($0.key) == UTF8Key(key) }) else {
          metadata.append((key, value))
          continue
        }
        guard UTF8Key(known.value) == UTF8Key(value) || !key.hasPrefix("t2.") else {
          throw .badIndex(problem: "its parts differ in \(key.excerpt), '\(name.excerpt)' being one")
        }
      }
    }
    return safetensorsBytes(joining: opened.map(\.file), metadata: metadata)
  }
}
