import FileKinds
import Glibc
import StrictJSON
package import SystemSupport

/// A safetensors file: its checked header, and its values.
///
/// `open` reads a small file whole into private memory, so nothing that happens to it later changes what was checked;
/// `map` maps a base model.
package final class SafetensorsFile: Sendable {
  private enum Storage: Sendable {
    case memory([UInt8])
    case mapped(MappedFile)
  }

  package typealias Tensor = SafetensorsHeader.Tensor

  package let header: SafetensorsHeader
  private let storage: Storage
  private let positions: [UTF8Key: Int]

  private init(_ header: SafetensorsHeader, _ storage: Storage) {
    self.header = header
    self.storage = storage
    var positions: [UTF8Key: Int] = [:]
    for (index, tensor) in header.tensors.enumerated() { positions[UTF8Key(tensor.name)] = index }
    self.positions = positions
  }

  /// Checks bytes that are the whole file.
  package convenience init(_ bytes: [UInt8], rules: SafetensorsHeader.Rules = .expert) throws(SafetensorsError) {
    let header = try unsafe bytes.span.withUnsafeBytes { buffer throws(SafetensorsError) in
      try unsafe SafetensorsHeader.parse(buffer, fileSize: buffer.count, rules: rules)
    }
    self.init(header, .memory(bytes))
  }

  /// Reads a file whole. A last component that is a symbolic link is followed.
  package static func open(
    path: String, rules: SafetensorsHeader.Rules = .expert
  ) throws(SafetensorsError) -> SafetensorsFile {
    let file: FileDescriptor
    do throws(SystemCallError) {
      file = try FileDescriptor.open(path, O_RDONLY | O_NONBLOCK)
    } catch {
      throw .system(error)
    }
    return try open(file, path: path, rules: rules)
  }

  /// Reads an open file whole, by offsets. `path` is for messages.
  package static func open(
    _ file: FileDescriptor, path: String, rules: SafetensorsHeader.Rules = .expert
  ) throws(SafetensorsError) -> SafetensorsFile {
    var size = 0
    var bytes: [UInt8] = []
    do throws(SystemCallError) {
      let status = try file.status()
      guard status.kind == .regular else {
        throw SystemCallError("read", path, number: EINVAL, hint: "it is \(status.kind.phrase)")
      }
      size = status.size
      bytes = try file.bytes(at: 0, count: min(size, FileKind.examinedBytes))
    } catch {
      throw .system(error)
    }
    // Before the whole is read: it may be sparse, 60 MB of nothing.
    _ = try unsafe bytes.span.withUnsafeBytes { start throws(SafetensorsError) in
      try unsafe SafetensorsHeader.length(start, fileSize: size, rules: rules)
    }
    do throws(SystemCallError) {
      bytes = try file.bytes(at: 0, count: size)
    } catch {
      throw .system(error)
    }
    return try SafetensorsFile(bytes, rules: rules)
  }

  /// Maps a file of a base model.
  static func map(path: String, rules: SafetensorsHeader.Rules = .model) throws(ModelFormatError) -> SafetensorsFile {
    let file = try MappedFile(path: path)
    do throws(SafetensorsError) {
      let header = try unsafe SafetensorsHeader.parse(file.bytes, fileSize: file.count, rules: rules)
      return SafetensorsFile(header, .mapped(file))
    } catch {
      throw .badSafetensors(path: path, error)
    }
  }

  package var tensors: [Tensor] { header.tensors }
  package var metadata: [(key: String, value: String)] { header.metadata }

  package func tensor(_ name: String) -> Tensor? { positions[UTF8Key(name)].map { header.tensors[$0] } }

  /// The values of a tensor as floats, where its type is one of those that are read.
  package func floats(_ name: String) throws(SafetensorsError) -> [Float] {
    guard let tensor = tensor(name) else { throw .unknownTensor(name) }
    guard tensor.type.elementType != nil else {
      throw .unsupportedType(tensor: name, type: tensor.type.rawValue, supported: SafetensorsType.readNames)
    }
    var values = [Float](repeating: 0, count: tensor.count)
    unsafe values.withUnsafeMutableBufferPointer { unsafe widen(tensor, values: 0..<tensor.count, into: $0) }
    return values
  }

  /// Some of a tensor's values, by their flat index. The caller has checked that the type is one of those widened.
  func widen(_ tensor: Tensor, values: Range<Int>, into target: UnsafeMutableBufferPointer<Float>) {
    guard let type = tensor.type.elementType else { preconditionFailure("\(tensor.type.rawValue) is not widened") }
    precondition(values.lowerBound >= 0 && values.upperBound <= tensor.count, "values \(values) of \(tensor.count)")
    let start = tensor.byteRange.lowerBound
    let range = start + values.lowerBound * type.blockSize..<start + values.upperBound * type.blockSize
    unsafe withBytes { unsafe type.widen(UnsafeRawBufferPointer(rebasing: $0[range]), into: target) }
  }

  /// Some of a tensor's bytes, counted from its first.
  func copy(_ tensor: Tensor, bytes: Range<Int>, into target: UnsafeMutableRawBufferPointer) {
    precondition(bytes.upperBound <= tensor.byteRange.count && target.count == bytes.count, "bytes \(bytes)")
    let start = tensor.byteRange.lowerBound
    unsafe withBytes {
      unsafe target.copyMemory(
        from: UnsafeRawBufferPointer(rebasing: $0[start + bytes.lowerBound..<start + bytes.upperBound]))
    }
  }

  /// The values of a tensor as they are stored.
  func bytes(of tensor: Tensor) -> [UInt8] {
    var bytes: [UInt8] = []
    unsafe withBytes { bytes = unsafe Array($0[tensor.byteRange]) }
    return bytes
  }

  private func withBytes(_ body: (UnsafeRawBufferPointer) -> Void) {
    switch storage {
    case .memory(let bytes): unsafe bytes.withUnsafeBytes(body)
    case .mapped(let file): unsafe body(file.bytes)
    }
  }
}
