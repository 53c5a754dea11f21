import StrictJSON

/// A file of PyTorch's `torch.save` that holds a dictionary of tensors, as `state_dict()` is one: read without Python,
/// and without doing what its pickle says.
///
///     archive/data.pkl    the dictionary, a pickle whose tensors refer to storages by number
///     archive/byteorder   "little", in files of PyTorch 2 and later
///     archive/data/0      the values of storage 0, and so on
///
/// Held whole in private memory. Files of before PyTorch 1.6 (no zip, several pickles one after another) are not read.
package struct TorchFile: Sendable {
  package struct Tensor: Sendable {
    package let name: String
    package var shape: [Int] { view.shape }
    fileprivate let view: TorchView
  }

  /// Of the file, and of its pickle: a name, a shape and a reference are under 200 bytes a tensor.
  package static let maximumBytes = 64 << 20
  private static let maximumPickleBytes = 1 << 20

  /// In the dictionary's order.
  package let tensors: [Tensor]
  private let storages: [UTF8Key: ArraySlice<UInt8>]

  package init(_ bytes: [UInt8]) throws(TorchFileError) {
    guard bytes.count <= Self.maximumBytes else { throw .tooLarge(size: bytes.count, limit: Self.maximumBytes) }
    guard bytes.starts(with: [0x50, 0x4B, 3, 4]) else { throw .notTorch(found: Self.format(bytes)) }
    let archive = try ZipArchive(bytes)
    let pickles = archive.names.filter { $0.hasSuffix("/data.pkl") }
    guard pickles.count == 1, let pickle = try archive.content(pickles[0]) else {
      throw .notTorch(found: "a zip file with \(pickles.count) entries 'data.pkl'")
    }
    let prefix = String(pickles[0].dropLast("data.pkl".count))
    guard pickle.count <= Self.maximumPickleBytes else {
      throw .tooLarge(size: pickle.count, limit: Self.maximumPickleBytes)
    }
    if let order = try archive.content(prefix + "byteorder"), !order.elementsEqual("little".utf8) {
      throw .notTorch(found: "a file with the byte order '\(String(decoding: order.prefix(16), as: UTF8.self))'")
    }
    var names: Set<UTF8Key> = []
    var storages: [UTF8Key: ArraySlice<UInt8>] = [:]
    tensors = try PickleReader.tensors(pickle).map { (name, view) throws(TorchFileError) in
      guard names.insert(UTF8Key(name)).inserted else { throw .badTensor(name: name, problem: "it is there twice") }
      if let problem = view.problem { throw .badTensor(name: name, problem: problem) }
      let key = UTF8Key(view.storage.key)
      if storages[key] == nil { storages[key] = try archive.content(prefix + "data/" + key.string) }
      guard let found = storages[key]?.count, found == view.storage.type.byteCount(of: view.storage.count) else {
        throw .badTensor(
          name: name,
          problem: "its storage '\(key.string.excerpt)' has \(storages[key]?.count ?? 0) bytes, and should have "
            + "\(view.storage.count) values of \(view.storage.type.rawValue)")
      }
      return Tensor(name: name, view: view)
    }
    self.storages = storages
  }

  /// The values of a tensor of this file, widened to floats, row-major.
  package func floats(_ tensor: Tensor) -> [Float] {
    guard let bytes = storages[UTF8Key(tensor.view.storage.key)] else {
      preconditionFailure("'\(tensor.name)' is of another file")
    }
    return tensor.view.values(of: bytes)
  }

  /// What the file is instead, as far as its first bytes say.
  private static func format(_ bytes: [UInt8]) -> String {
    if bytes.isEmpty { return "an empty file" }
    if bytes[0] == 0x80 { return "a bare pickle, as PyTorch wrote before version 1.6" }
    if bytes.count > 8, bytes[8] == UInt8(ascii: "{") { return "a safetensors file" }
    return "a file of another format"
  }
}
