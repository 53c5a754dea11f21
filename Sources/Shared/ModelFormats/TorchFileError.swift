import StrictJSON

/// Why a file is not one of PyTorch's that is read here.
package enum TorchFileError: Error, Sendable, Equatable, CustomStringConvertible {
  case tooLarge(size: Int, limit: Int)
  /// Another format, by its first bytes.
  case notTorch(found: String)
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
    case .notTorch(let found): "this is \(found), not a file of torch.save; save it again with PyTorch 1.6 or later"
    case .badArchive(let problem): "the zip container is damaged: \(problem); copy it again"
    case .refused(let opcode, let subject, let offset):
      "its pickle is refused at byte \(offset) for \(([opcode] + [subject?.excerpt].compactMap { $0 }).joined(separator: " ")): only "
        + "tensors, dictionaries and plain values are read, and nothing of it was executed"
    case .badPickle(let problem, let offset): "its pickle is damaged at byte \(offset): \(problem)"
    case .unsupportedStorage(let type):
      "it has values of '\(type.excerpt)'; read are \(TorchGlobal.storages.map(\.rawValue).joined(separator: ", "))"
    case .notTensors(let problem): "it is not a dictionary of tensors: \(problem)"
    case .badTensor(let name, let problem): "tensor '\(name.excerpt)': \(problem)"
    }
  }
}
