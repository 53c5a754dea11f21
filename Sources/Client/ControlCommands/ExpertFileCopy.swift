import StrictJSON
import SystemSupport

/// An expert file on its way into the watched directory, with another name or label where that was asked for.
///
/// Of safetensors only the frame is read: eight bytes of length, little-endian, and a JSON header; what the file is
/// worth the daemon decides.
struct ExpertFileCopy {
  let bytes: [UInt8]
  let fileName: String
  /// What the daemon will call it.
  let expertName: String

  init(_ original: [UInt8], path: String, name: String?, label: String?) throws(ControlError) {
    let lastComponent = FileSystem.split(path).name
    let stem = lastComponent.hasSuffix(".safetensors") ? String(lastComponent.dropLast(12)) : lastComponent
    if let name, name.isEmpty || name.contains("/") || name.hasPrefix(".") || name.contains("@") {
      throw .usage(
        "--name must be a name, and is '\(escaped(name))'", hint: "it has no '/', no '@', and no leading '.'")
    }
    let header = Self.header(of: original)
    guard name != nil || label != nil else {
      bytes = original
      fileName = stem + ".safetensors"
      expertName = header?.object["__metadata__"]?["t2.name"]?.stringValue ?? stem
      return
    }
    guard let (found, end) = header else {
      throw .bad("\(escaped(path)): not a safetensors file, so no --name or --label can be written into it")
    }
    var object = found
    var metadata = object["__metadata__"]?.objectValue ?? [:]
    if let name { metadata["t2.name"] = .string(name) }
    if let label { metadata["t2.label"] = .string(label) }
    object["__metadata__"] = .object(metadata)
    var text = JSONValue.object(object).serialized()
    // The data begins at a multiple of eight, as the format's own writer leaves it.
    while text.count % 8 != 0 { text.append(0x20) }
    var result: [UInt8] = []
    result.reserveCapacity(8 + text.count + original.count - end)
    let length = UInt64(text.count)
    for shift in stride(from: UInt64(0), to: 64, by: 8) { result.append(UInt8(truncatingIfNeeded: length >> shift)) }
    result.append(contentsOf: text)
    result.append(contentsOf: original[end...])
    bytes = result
    expertName = name ?? metadata["t2.name"]?.stringValue ?? stem
    fileName = (name ?? stem) + ".safetensors"
  }

  private static func header(of bytes: [UInt8]) -> (object: JSONObject, end: Int)? {
    guard bytes.count >= 8 else { return nil }
    var length: UInt64 = 0
    for (index, byte) in bytes[..<8].enumerated() { length |= UInt64(byte) << (8 * UInt64(index)) }
    guard length <= 16 << 20, let count = Int(exactly: length), count <= bytes.count - 8 else { return nil }
    guard case .object(let object)? = try? parseJSON(bytes[8..<8 + count]) else { return nil }
    return (object, 8 + count)
  }
}
