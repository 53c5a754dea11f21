import Glibc
import StrictJSON

/// A tensor to be written, row-major.
package struct SafetensorsTensor: Sendable {
  package let name: String
  package let shape: [Int]
  package let values: [Float]

  package init(name: String, shape: [Int], values: [Float]) {
    precondition(shape.reduce(1, *) == values.count, "'\(name)': \(values.count) values are not \(shapeText(shape))")
    self.name = name
    self.shape = shape
    self.values = values
  }
}

/// The bytes of a safetensors file with values of F32: names and metadata keys sorted by bytes, the header padded with
/// spaces to a multiple of 8. The same content gives the same bytes.
package func safetensorsBytes(
  tensors: [SafetensorsTensor], metadata: [(key: String, value: String)]
) -> [UInt8] {
  let tensors = tensors.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
  var header = JSONObject()
  if !metadata.isEmpty {
    var entries = JSONObject()
    for (key, value) in metadata.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
      entries[key] = .string(value)
    }
    header["__metadata__"] = .object(entries)
  }
  var offset = 0
  for tensor in tensors {
    let end = offset + tensor.values.count * 4
    header[tensor.name] = [
      "dtype": "F32", "shape": .array(tensor.shape.map { JSONValue($0) }),
      "data_offsets": [JSONValue(offset), JSONValue(end)],
    ]
    offset = end
  }
  var text = JSONValue.object(header).serialized()
  text += repeatElement(0x20, count: (8 - text.count % 8) % 8)

  var bytes: [UInt8] = []
  bytes.reserveCapacity(8 + text.count + offset)
  unsafe withUnsafeBytes(of: UInt64(text.count).littleEndian) { unsafe bytes.append(contentsOf: $0) }
  bytes += text
  for tensor in tensors {
    unsafe tensor.values.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) }
  }
  return bytes
}

/// Writes a safetensors file so that it is there whole or not at all: a temporary file beside it, fsync, rename, fsync
/// of the directory.
package func writeSafetensors(
  to path: String, tensors: [SafetensorsTensor], metadata: [(key: String, value: String)]
) throws(SafetensorsError) {
  let temporary = "\(path).\(getpid()).tmp"
  let descriptor = unsafe open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
  guard descriptor >= 0 else { throw .cannotWrite(path: temporary, reason: systemErrorText()) }
  do throws(SafetensorsError) {
    do throws(SafetensorsError) {
      try writeSafetensors(to: descriptor, tensors: tensors, metadata: metadata)
      guard fsync(descriptor) == 0 else { throw .cannotWrite(path: temporary, reason: systemErrorText()) }
    } catch {
      close(descriptor)
      throw error
    }
    guard close(descriptor) == 0 else { throw .cannotWrite(path: temporary, reason: systemErrorText()) }
    guard unsafe rename(temporary, path) == 0 else { throw .cannotWrite(path: path, reason: systemErrorText()) }
  } catch {
    unsafe unlink(temporary)
    throw error
  }
  try synchronizeDirectory(of: path)
}

/// Writes to an open descriptor at its position, without fsync; the descriptor stays the caller's.
package func writeSafetensors(
  to descriptor: Int32, tensors: [SafetensorsTensor], metadata: [(key: String, value: String)]
) throws(SafetensorsError) {
  let bytes = safetensorsBytes(tensors: tensors, metadata: metadata)
  try unsafe bytes.span.withUnsafeBytes { buffer throws(SafetensorsError) in
    var done = 0
    while done < buffer.count {
      let written = unsafe write(descriptor, buffer.baseAddress.map { unsafe $0 + done }, buffer.count - done)
      if written >= 0 {
        done += written
      } else if errno != EINTR {
        throw .cannotWrite(path: "descriptor \(descriptor)", reason: systemErrorText())
      }
    }
  }
}

private func synchronizeDirectory(of path: String) throws(SafetensorsError) {
  let directory = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
  let descriptor = unsafe open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
  guard descriptor >= 0 else { throw .cannotWrite(path: directory, reason: systemErrorText()) }
  defer { close(descriptor) }
  guard fsync(descriptor) == 0 else { throw .cannotWrite(path: directory, reason: systemErrorText()) }
}
