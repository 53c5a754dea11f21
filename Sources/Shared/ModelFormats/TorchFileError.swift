import StrictJSON

/// Why a file is not one of PyTorch's that is read here.
package enum TorchFileError: Error, Sendable, Equatable, CustomStringConvertible {
  case tooLarge(size: Int, limit: Int)
  /// Another format, by its first bytes.
  case notTorch(found: String, advice: String)
  /// An entry of the zip container that is not stored as it is.
  case packed(entry: String, isEncrypted: Bool)
  /// The zip container is cut off, or contradicts itself.
  case badArchive(problem: String)
  /// The pickle asks for more than data are made of. `subject` is what the opcode would have looked up or called.
  case refused(opcode: String, subject: String?, offset: Int)
  /// The pickle is cut off, or contradicts itself.
  case badPickle(problem: String, offset: Int)
  case unsupportedStorage(type: String)
  case notTensors(problem: String)
  case badTensor(name: String, problem: String)

  package var description: String {
    switch self {
    case .tooLarge(let size, let limit): "the file has \(size) bytes, at most \(limit) are read"
    case .notTorch(let found, let advice): "expected a file of torch.save, found \(found); \(advice)"
    case .packed(let entry, true):
      "entry '\(entry.excerpt)' of the zip container is encrypted; unpack it, and zip it without"
    case .packed(let entry, false):
      "entry '\(entry.excerpt)' of the zip container is compressed, as torch.save leaves none: it was packed again; store its "
        + "entries as they are: python3 -c \"import zipfile as z; a = z.ZipFile('FILE'); b = z.ZipFile('NEW.pt', 'w'); "
        + "[b.writestr(n, a.read(n)) for n in a.namelist()]; b.close()\""
    case .badArchive(let problem): "the zip container is damaged: \(problem); copy it again"
    case .refused(let opcode, let subject, let offset):
      "its pickle is refused at byte \(offset) for \(([opcode] + [subject?.excerpt].compactMap { $0 }).joined(separator: " ")): only "
        + "tensors, dictionaries and plain values are read, and nothing of it was executed; save the tensors alone: "
        + "torch.save(module.state_dict(), 'NEW.pt')"
    case .badPickle(let problem, let offset): "its pickle is damaged at byte \(offset): \(problem)"
    case .unsupportedStorage(let type):
      "it has values of '\(type.excerpt)'; read are \(TorchGlobal.storages.map(\.rawValue).joined(separator: ", "))"
    case .notTensors(let problem): "it is not a dictionary of tensors: \(problem)"
    case .badTensor(let name, let problem): "tensor '\(name.excerpt)': \(problem)"
    }
  }
}
