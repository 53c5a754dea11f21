import Glibc
import StrictJSON

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

  /// Reads a file whole.
  package static func open(
    path: String, rules: SafetensorsHeader.Rules = .expert
  ) throws(SafetensorsError) -> SafetensorsFile {
    let descriptor = unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
    guard descriptor >= 0 else { throw .unreadable(reason: systemErrorText()) }
    defer { close(descriptor) }
    return try open(descriptor: descriptor, rules: rules)
  }

  /// Reads an open file whole, by offsets; the descriptor stays the caller's.
  package static func open(
    descriptor: Int32, rules: SafetensorsHeader.Rules = .expert
  ) throws(SafetensorsError) -> SafetensorsFile {
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else { throw .unreadable(reason: systemErrorText()) }
    guard status.st_mode & S_IFMT == S_IFREG else { throw .unreadable(reason: "it is not a regular file") }
    guard let size = Int(exactly: status.st_size), size <= rules.maximumFileSize else {
      throw .tooLarge(size: Int(clamping: status.st_size), limit: rules.maximumFileSize)
    }
    // The header alone first: a sparse file of 64 MiB of nothing is refused by its first 8 bytes.
    let start = try read(descriptor, from: 0, count: min(size, 8))
    if start.count == 8 {
      let announced = start.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      if announced > UInt64(rules.maximumHeaderLength) { _ = try SafetensorsFile(start, rules: rules) }
    }
    return try SafetensorsFile(try read(descriptor, from: 0, count: size), rules: rules)
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

  /// The values of a tensor of F32, F16 or BF16, widened to floats.
  package func floats(_ name: String) throws(SafetensorsError) -> [Float] {
    guard let tensor = tensor(name) else { throw .unknownTensor(name) }
    guard tensor.type.elementType != nil else {
      throw .unsupportedType(tensor: name, type: tensor.type.rawValue, supported: "F32, F16, BF16")
    }
    var values = [Float](repeating: 0, count: tensor.count)
    unsafe values.withUnsafeMutableBufferPointer { unsafe widen(tensor, values: 0..<tensor.count, into: $0) }
    return values
  }

  /// Throws for the first NaN or infinity in the file.
  package func checkFinite() throws(SafetensorsError) {
    for tensor in tensors {
      let values = try floats(tensor.name)
      if let index = values.firstIndex(where: { !$0.isFinite }) {
        throw .notFinite(tensor: tensor.name, index: index, value: values[index])
      }
    }
  }

  /// Some of a tensor's values, by their flat index. The caller has checked that the type is one of those widened.
  func widen(_ tensor: Tensor, values: Range<Int>, into target: UnsafeMutableBufferPointer<Float>) {
    guard let type = tensor.type.elementType else { preconditionFailure("\(tensor.type.rawValue) is not widened") }
    precondition(values.lowerBound >= 0 && values.upperBound <= tensor.count, "values \(values) of \(tensor.count)")
    let start = tensor.byteRange.lowerBound
    let range = start + values.lowerBound * type.blockSize..<start + values.upperBound * type.blockSize
    unsafe withBytes { unsafe type.widen(UnsafeRawBufferPointer(rebasing: $0[range]), into: target) }
  }

  private func withBytes(_ body: (UnsafeRawBufferPointer) -> Void) {
    switch storage {
    case .memory(let bytes): unsafe bytes.withUnsafeBytes(body)
    case .mapped(let file): unsafe body(file.bytes)
    }
  }

  /// Up to `count` bytes; fewer where the file is shorter by now.
  private static func read(_ descriptor: Int32, from offset: Int, count: Int) throws(SafetensorsError) -> [UInt8] {
    var failure: String?
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      while filled < count {
        let got = unsafe pread(
          descriptor, buffer.baseAddress.map { unsafe $0 + filled }, count - filled, off_t(offset + filled))
        if got > 0 {
          filled += got
        } else if got == 0 {
          return
        } else if errno != EINTR {
          failure = systemErrorText()
          return
        }
      }
    }
    if let failure { throw .unreadable(reason: failure) }
    return bytes
  }
}
