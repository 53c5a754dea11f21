package import Digests
import Glibc
package import Multipliers
import SystemSupport

/// A base model as a source of tensors under Hugging Face's names and in Hugging Face's layout, widened to floats.
///
/// Reading is thread-safe and may go on in several threads at once; nothing is cached. Shapes are checked against the
/// configuration when the model is opened, values when they are used.
package final class OpenModel: Sendable {
  package let path: String
  package let configuration: ModelConfiguration
  /// Nil for a directory without `tokenizer.json`: the model then takes token ids only.
  package let tokenizerDescription: TokenizerDescription?
  /// For people: what was read although it may be meant in another way, and what is not there.
  package let warnings: [String]
  private let store: any TensorStore

  init(
    path: String, configuration: ModelConfiguration, tokenizerDescription: TokenizerDescription?,
    store: any TensorStore, warnings: [String] = []
  ) throws(ModelFormatError) {
    self.path = path
    self.configuration = configuration
    self.tokenizerDescription = tokenizerDescription
    self.store = store
    self.warnings = warnings
    for (name, shape) in configuration.requiredTensors {
      guard let found = store.shape(of: name) else { throw .missing(path: path, what: "tensor '\(name)'") }
      guard found == shape else { throw .wrongShape(path: path, tensor: name, found: found, expected: shape) }
    }
  }

  private init(_ other: OpenModel, _ configuration: ModelConfiguration) {
    path = other.path
    self.configuration = configuration
    tokenizerDescription = other.tokenizerDescription
    warnings = other.warnings
    store = other.store
  }

  /// The same, see ``ModelConfiguration/factoring(_:)``.
  package func factoring(_ modules: [String]) throws(UnknownModule) -> OpenModel {
    OpenModel(self, try configuration.factoring(modules))
  }

  package var targets: [TargetMatrix] { configuration.targets }

  /// Sorted by bytes.
  package var tensorNames: [String] { store.names }

  package var parameterCount: Int {
    store.names.reduce(0) { $0 + (store.shape(of: $1)?.reduce(1, *) ?? 0) }
  }

  /// (outputs, inputs) of a matrix, (length) of a vector; nil where there is no such tensor.
  package func shape(of name: String) -> [Int]? { store.shape(of: name) }

  /// How the file stores the values, such as "Q4_1".
  package func storedType(of name: String) -> String? { store.storedType(of: name) }

  /// The same as a type; nil also for one that is not read.
  package func elementType(of name: String) -> ElementType? { storedType(of: name).flatMap(ElementType.init) }

  /// Some rows of a matrix as they are stored, in whole blocks. `target` has exactly as many bytes; where the file has
  /// its rows in another order, they are in Hugging Face's here.
  package func readStored(_ name: String, _ rows: Range<Int>, into target: UnsafeMutableRawBufferPointer) {
    guard let shape = shape(of: name), shape.count == 2, let type = elementType(of: name),
      let rowBytes = type.byteCount(of: shape[1])
    else { preconditionFailure("no matrix '\(name)' of a type that is read") }
    precondition(
      rows.lowerBound >= 0 && rows.upperBound <= shape[0] && target.count == rows.count * rowBytes,
      "rows \(rows) of '\(name)' (\(shapeText(shape))) do not fill \(target.count) bytes")
    unsafe store.readStored(name, rows: rows, into: target)
  }

  /// All values of a tensor, row-major. `target` has exactly as many.
  package func readFloats(_ name: String, into target: UnsafeMutableBufferPointer<Float>) throws(ModelFormatError) {
    guard let shape = shape(of: name) else { throw .unknownTensor(path: path, name: name) }
    try unsafe readRows(name, 0..<(shape.first ?? 1), into: target)
  }

  /// All values of a tensor, row-major. `target` has room for them.
  package func readFloats(_ name: String, into target: UnsafeMutablePointer<Float>) throws(ModelFormatError) {
    guard let shape = shape(of: name) else { throw .unknownTensor(path: path, name: name) }
    try unsafe readFloats(name, into: UnsafeMutableBufferPointer(start: target, count: shape.reduce(1, *)))
  }

  package func floats(_ name: String) throws(ModelFormatError) -> [Float] {
    guard let shape = shape(of: name) else { throw .unknownTensor(path: path, name: name) }
    var values = [Float](repeating: 0, count: shape.reduce(1, *))
    try unsafe values.withUnsafeMutableBufferPointer { buffer throws(ModelFormatError) in
      try unsafe readFloats(name, into: buffer)
    }
    return values
  }

  /// Some rows of a matrix, or some values of a vector, so that one tensor can be read by several threads.
  package func readRows(
    _ name: String, _ rows: Range<Int>, into target: UnsafeMutableBufferPointer<Float>
  ) throws(ModelFormatError) {
    guard let shape = shape(of: name) else { throw .unknownTensor(path: path, name: name) }
    let rowLength = shape.dropFirst().reduce(1, *)
    precondition(
      rows.lowerBound >= 0 && rows.upperBound <= shape.first ?? 1 && target.count == rows.count * rowLength,
      "rows \(rows) of '\(name)' (\(shapeText(shape))) do not fill \(target.count) floats")
    unsafe store.read(name, rows: rows, into: target)
  }

  /// The identity of the base, see ``modelDigest(of:values:)``. Reads and hashes every target matrix.
  package func digest() throws(ModelFormatError) -> Digest {
    var scratch = [Float](repeating: 0, count: targets.map { $0.rows * $0.columns }.max() ?? 0)
    return try unsafe scratch.withUnsafeMutableBufferPointer { buffer throws(ModelFormatError) -> Digest in
      guard let base = buffer.baseAddress else { preconditionFailure("a configuration has at least one layer") }
      return try unsafe modelDigest(of: targets) { target throws(ModelFormatError) in
        try unsafe readFloats(target.name, into: base)
        return unsafe UnsafePointer(base)
      }
    }
  }
}

/// What a file format offers to `OpenModel`. Names and layout are Hugging Face's.
protocol TensorStore: Sendable {
  var names: [String] { get }
  func shape(of name: String) -> [Int]?
  func storedType(of name: String) -> String?
  /// The caller has checked the name, the rows and the size of `target`.
  func read(_ name: String, rows: Range<Int>, into target: UnsafeMutableBufferPointer<Float>)
  /// Of a matrix; the caller has checked as much here.
  func readStored(_ name: String, rows: Range<Int>, into target: UnsafeMutableRawBufferPointer)
}

/// Opens a GGUF file, or a directory with `config.json`.
package func openModel(at path: String) throws(ModelFormatError) -> OpenModel {
  let status: FileStatus?
  do throws(SystemCallError) {
    status = try FileSystem.status(path, followingLinks: true)
  } catch {
    throw .system(error)
  }
  switch status?.kind {
  case .directory: return try openHuggingFaceDirectory(path)
  case .regular:
    try refuseUnfinishedDownload(path)
    return try openGGUF(path)
  case .symbolicLink, .fifo, .socket, .device: throw .notAModel(path: path, found: status?.kind.phrase ?? "")
  case nil: throw .system(SystemCallError("open the model", path, number: ENOENT))
  }
}

/// SHA-256 over a model's target matrices: names sorted by bytes, each as `name \0 ROWSxCOLUMNS \0` and its values as
/// little-endian floats. A copy of the same base in other shards has the same digest, another quantisation has not.
///
/// `values` returns the matrix's rows * columns floats; they must stay valid until the next call.
package func modelDigest<Failure: Error>(
  of targets: [TargetMatrix], values: (TargetMatrix) throws(Failure) -> UnsafePointer<Float>
) throws(Failure) -> Digest {
  var hash = SHA256()
  let ordered = targets.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
  for target in ordered {
    hash.update("\(target.name)\0\(target.rows)x\(target.columns)\0")
    // Floats lie in memory as the digest wants them: x86-64 and arm64 are little-endian.
    let floats = unsafe try values(target)
    unsafe hash.update(UnsafeRawBufferPointer(start: floats, count: target.rows * target.columns * 4))
  }
  return hash.finish()
}
