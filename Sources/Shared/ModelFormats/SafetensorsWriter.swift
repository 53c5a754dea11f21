import StrictJSON
package import SystemSupport

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
  var bytes = headerBytes(tensors.map { ($0.name, .f32, $0.shape) }, metadata)
  for tensor in tensors {
    unsafe tensor.values.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) }
  }
  return bytes
}

/// One file with the tensors of several, of which no two have the same name, in their types.
package func safetensorsBytes(
  joining files: [SafetensorsFile], metadata: [(key: String, value: String)]
) -> [UInt8] {
  let tensors = files.flatMap { file in file.tensors.map { (file, $0) } }
    .sorted { $0.1.name.utf8.lexicographicallyPrecedes($1.1.name.utf8) }
  var bytes = headerBytes(tensors.map { ($0.1.name, $0.1.type, $0.1.shape) }, metadata)
  for (file, tensor) in tensors { bytes += file.bytes(of: tensor) }
  return bytes
}

/// The length of the header and the header, for tensors whose values follow in this order.
private func headerBytes(
  _ tensors: [(name: String, type: SafetensorsType, shape: [Int])], _ metadata: [(key: String, value: String)]
) -> [UInt8] {
  var header = JSONObject()
  if !metadata.isEmpty {
    var entries = JSONObject()
    for (key, value) in metadata.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
      entries[key] = .string(value)
    }
    header["__metadata__"] = .object(entries)
  }
  var offset = 0
  for (name, type, shape) in tensors {
    let end = offset + shape.reduce(1, *) * type.size
    header[name] = [
      "dtype": .string(type.rawValue), "shape": .array(shape.map { JSONValue($0) }),
      "data_offsets": [JSONValue(offset), JSONValue(end)],
    ]
    offset = end
  }
  var text = JSONValue.object(header).serialized()
  text += repeatElement(0x20, count: (8 - text.count % 8) % 8)
  var bytes: [UInt8] = []
  bytes.reserveCapacity(8 + text.count + offset)
  unsafe withUnsafeBytes(of: UInt64(text.count).littleEndian) { unsafe bytes.append(contentsOf: $0) }
  return bytes + text
}

/// Writes a safetensors file so that it is there whole or not at all, and durable on return.
package func writeSafetensors(
  to path: String, tensors: [SafetensorsTensor], metadata: [(key: String, value: String)]
) throws(SafetensorsError) {
  do throws(SystemCallError) {
    try FileSystem.writeAtomically(path, safetensorsBytes(tensors: tensors, metadata: metadata), mode: 0o644)
  } catch {
    throw .system(error)
  }
}

/// Writes to an open file at its position, without fsync.
package func writeSafetensors(
  to file: FileDescriptor, tensors: [SafetensorsTensor], metadata: [(key: String, value: String)]
) throws(SafetensorsError) {
  do throws(SystemCallError) {
    try file.write(all: safetensorsBytes(tensors: tensors, metadata: metadata))
  } catch {
    throw .system(error)
  }
}

/// A safetensors file of F32 that is written tensor by tensor: it need not fit into memory. Without fsync.
package struct SafetensorsStream {
  private let file: FileDescriptor
  /// What is still to come, in its order.
  private var shapes: ArraySlice<(name: String, shape: [Int])>

  /// Writes the header. The names are in the order of their bytes, which is that of the file.
  package init(to file: FileDescriptor, shapes: [(name: String, shape: [Int])]) throws(SystemCallError) {
    precondition(
      zip(shapes, shapes.dropFirst()).allSatisfy { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) },
      "the tensors are not in the order of their names")
    self.file = file
    self.shapes = shapes[...]
    try file.write(all: headerBytes(shapes.map { ($0.name, .f32, $0.shape) }, []))
  }

  /// The values of the next tensor, row-major.
  package mutating func write(_ values: [Float]) throws(SystemCallError) {
    guard let next = shapes.popFirst(), next.shape.reduce(1, *) == values.count else {
      preconditionFailure("\(values.count) values are not those of the next tensor")
    }
    try file.write(all: unsafe values.withUnsafeBytes { unsafe Array($0) })
  }

  /// To be called at the end: a file that lacks tensors is none.
  package consuming func finish() {
    precondition(shapes.isEmpty, "\(shapes.count) tensors were not written")
  }
}
