import FileKinds
import StrictJSON

/// A file of PyTorch's `torch.save` that holds a dictionary of tensors, as `state_dict()` is one, or one of such
/// dictionaries, as a checkpoint is: read without Python, and without doing what its pickle says.
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
    /// PyTorch's name of the storage's type.
    package var type: String { view.storage.typeName }
    /// False where its values are of a type that is stepped over.
    package var isRead: Bool { view.storage.type != nil }
    /// Whether its values are more exact than the floats that are made of them.
    package var isRounded: Bool { view.storage.type == .f64 }
    fileprivate let view: TorchView
  }

  /// Of the file, and of its pickle: a name, a shape and a reference are under 200 bytes a tensor.
  package static let maximumBytes = 64 << 20
  private static let maximumPickleBytes = 1 << 20

  package struct Dictionary: Sendable {
    /// The keys that lead to it, joined with points; empty for the outermost one.
    package let path: String
    /// In its order.
    package let tensors: [Tensor]
    /// What it has beside tensors, and what that is.
    package let others: [(name: String, kind: String)]
  }

  /// Types of which values are read, for messages.
  package static let readTypes = TorchGlobal.storages.map(\.rawValue).joined(separator: ", ")

  /// The outermost one first.
  package let dictionaries: [Dictionary]
  /// Of the outermost one.
  package var tensors: [Tensor] { dictionaries[0].tensors }
  private let storages: [UTF8Key: ArraySlice<UInt8>]

  package init(_ bytes: [UInt8]) throws(TorchFileError) {
    guard bytes.count <= Self.maximumBytes else { throw .tooLarge(size: bytes.count, limit: Self.maximumBytes) }
    guard bytes.starts(with: [0x50, 0x4B, 3, 4]) else { throw Self.otherFormat(bytes) }
    let archive = try ZipArchive(bytes)
    let pickles = archive.names.filter { $0.hasSuffix("/data.pkl") }
    if archive.names.contains(where: { $0.hasSuffix("/constants.pkl") }) {
      throw .notTorch(
        found: "a TorchScript archive",
        advice:
          "save its tensors: python3 -c \"import torch; torch.save(torch.jit.load('FILE').state_dict(), 'NEW.pt')\"")
    }
    guard pickles.count == 1, let pickle = try archive.content(pickles[0]) else {
      throw .notTorch(
        found: "a zip file with \(pickles.count) entries 'data.pkl'", advice: "unpack it first where the file is in it")
    }
    let prefix = String(pickles[0].dropLast("data.pkl".count))
    guard pickle.count <= Self.maximumPickleBytes else {
      throw .tooLarge(size: pickle.count, limit: Self.maximumPickleBytes)
    }
    if let order = try archive.content(prefix + "byteorder"), !order.elementsEqual("little".utf8) {
      throw .notTorch(
        found: "a file with the byte order '\(String(decoding: order.prefix(16), as: UTF8.self).excerpt)'",
        advice: "save it on a machine that has the lowest byte first")
    }
    var storages: [UTF8Key: ArraySlice<UInt8>] = [:]
    func tensor(
      _ name: String, _ view: TorchView, _ names: inout Set<UTF8Key>
    ) throws(TorchFileError) -> Tensor {
      guard names.insert(UTF8Key(name)).inserted else { throw .badTensor(name: name, problem: "it is there twice") }
      if let problem = view.problem { throw .badTensor(name: name, problem: problem) }
      guard let type = view.storage.type else { return Tensor(name: name, view: view) }
      let key = UTF8Key(view.storage.key)
      if storages[key] == nil { storages[key] = try archive.content(prefix + "data/" + key.string) }
      guard let found = storages[key]?.count, found == type.byteCount(of: view.storage.count) else {
        throw .badTensor(
          name: name,
          problem: "its storage '\(key.string.excerpt)' has \(storages[key]?.count ?? 0) bytes, and should have "
            + "\(view.storage.count) values of \(type.rawValue)")
      }
      return Tensor(name: name, view: view)
    }
    let all = try PickleReader.dictionaries(pickle)
    let withTensors = all.filter { !$0.tensors.isEmpty || $0.path.isEmpty }
    if withTensors.allSatisfy(\.tensors.isEmpty), let other = all.first?.others.first {
      throw .notTensors(problem: "the entry '\(other.name.excerpt)' is \(other.kind)")
    }
    dictionaries = try withTensors.map { (found) throws(TorchFileError) in
      var names: Set<UTF8Key> = []
      var tensors: [Tensor] = []
      for (name, view) in found.tensors { tensors.append(try tensor(name, view, &names)) }
      let path = found.path.map(\.excerpt).joined(separator: ".")
      return Dictionary(path: path, tensors: tensors, others: found.others)
    }
    self.storages = storages
  }

  /// The values of a tensor of this file whose type is read, as floats, row-major.
  package func floats(_ tensor: Tensor) -> [Float] {
    guard let bytes = storages[UTF8Key(tensor.view.storage.key)] else {
      preconditionFailure("'\(tensor.name)' is of another file")
    }
    return tensor.view.values(of: bytes)
  }

  /// The first instruction after the protocol in every file of before PyTorch 1.6: a number that nothing else begins with.
  private static let legacyMark: [UInt8] = [0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19]

  /// What the file is instead, as far as its first bytes say.
  private static func otherFormat(_ bytes: [UInt8]) -> TorchFileError {
    let standard = "what is read is a dictionary of tensors, saved with torch.save"
    switch FileKind(beginning: bytes.prefix(FileKind.examinedBytes)) {
    case .weights(.pickle) where bytes.dropFirst(2).starts(with: legacyMark):
      return .notTorch(
        found: "one of before PyTorch 1.6",
        advice: "convert it: python3 -c \"import torch; torch.save(torch.load('FILE', map_location='cpu', "
          + "weights_only=True), 'NEW.pt')\"")
    case .weights(.pickle):
      return .notTorch(
        found: "a bare pickle",
        advice:
          "where you trust it, convert it: python3 -c \"import pickle, torch; torch.save(pickle.load(open('FILE', "
          + "'rb')), 'NEW.pt')\"")
    case .weights(.safetensors): return .notTorch(found: "a safetensors file", advice: "t2ctl expert register takes it")
    case .some(let kind): return .notTorch(found: kind.name, advice: kind.advice ?? standard)
    case nil: return .notTorch(found: "a file of another format", advice: standard)
    }
  }
}
