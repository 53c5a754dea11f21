package import FileKinds
package import StrictJSON
package import SystemSupport

/// Why a file is not a safetensors file that is accepted here.
package enum SafetensorsError: Error, Sendable, Equatable, CustomStringConvertible {
  case system(SystemCallError)
  /// The file is shorter than its own header says: it is still being written, or was cut off.
  case incomplete(size: Int, needed: Int)
  /// The file is empty, or begins with zeros: its blocks may be reserved and not written yet.
  case unwritten(size: Int)
  case tooLarge(size: Int, limit: Int)
  /// Recognised by its first bytes as another kind of file.
  case anotherFormat(FileKind)
  case headerTooLong(length: UInt64, limit: Int)
  case badHeader(JSONError)
  case badMetadata(problem: String)
  case noTensors
  case tooManyTensors(count: Int, limit: Int)
  case badName(String)
  case badField(tensor: String, problem: String)
  case unsupportedType(tensor: String, type: String, supported: String)
  case badShape(tensor: String, problem: String)
  case sizeMismatch(tensor: String, shape: [Int], type: String, expected: Int, found: Int)
  case badOffsets(tensor: String, problem: String)
  case gap(tensor: String, at: Int)
  case overlap(tensor: String, with: String)
  case trailingBytes(count: Int)
  case unknownTensor(String)

  /// True where waiting for the rest of the file can help.
  package var isIncomplete: Bool {
    switch self {
    case .incomplete, .unwritten: true
    case .system, .tooLarge, .anotherFormat, .headerTooLong, .badHeader, .badMetadata, .noTensors, .tooManyTensors,
      .badName, .badField, .unsupportedType, .badShape, .sizeMismatch, .badOffsets, .gap, .overlap, .trailingBytes,
      .unknownTensor:
      false
    }
  }

  /// A stable name of the cause for machines.
  package var code: String {
    switch self {
    case .system: "system"
    case .incomplete, .unwritten: "incomplete"
    case .tooLarge: "too_large"
    case .anotherFormat: "another_format"
    case .headerTooLong: "header_too_long"
    case .badHeader(let error): error.kind == .duplicateKey ? "duplicate_key" : "bad_header"
    case .badMetadata: "bad_metadata"
    case .noTensors: "no_tensors"
    case .tooManyTensors: "too_many_tensors"
    case .badName: "bad_name"
    case .badField: "bad_field"
    case .unsupportedType: "unsupported_type"
    case .badShape: "bad_shape"
    case .sizeMismatch: "size_mismatch"
    case .badOffsets: "bad_offsets"
    case .gap: "gap"
    case .overlap: "overlap"
    case .trailingBytes: "trailing_bytes"
    case .unknownTensor: "unknown_tensor"
    }
  }

  package var description: String {
    switch self {
    case .system(let error): error.description
    case .incomplete(let size, let needed): "the file has \(size) bytes, its header asks for \(needed); copy it again"
    case .tooLarge(let size, let limit): "the file has \(size) bytes, at most \(limit) are read"
    case .unwritten(0): "this is \(FileKind.empty)"
    case .unwritten(let size):
      "the first of the file's \(size) bytes are zeros, as an unfinished download leaves them; copy or download it again"
    case .anotherFormat(let kind): "expected a safetensors file, found \(kind)"
    case .headerTooLong(_, let limit):
      // Not how long: the number is the first 8 bytes of a file that may be anything.
      "the first 8 bytes announce a header of more than the \(limit) bytes that are read; is it a safetensors file?"
    case .badHeader(let error): "the header is not strict JSON: \(error)"
    case .badMetadata(let problem): "__metadata__: \(problem)"
    case .noTensors: "the file holds no tensor"
    case .tooManyTensors(let count, let limit): "the file holds \(count) tensors, at most \(limit) are read"
    case .badName(let name):
      "the tensor name \(JSONValue.string(name.excerpt).jsonText) is not 1 to 256 characters of A-Z a-z 0-9 _ . -"
    case .badField(let tensor, let problem): "tensor '\(tensor)': \(problem)"
    case .unsupportedType(let tensor, let type, let supported):
      "tensor '\(tensor)' is of type \(type); supported: \(supported)"
    case .badShape(let tensor, let problem): "tensor '\(tensor)': \(problem)"
    case .sizeMismatch(let tensor, let shape, let type, let expected, let found):
      "tensor '\(tensor)' of \(type) \(shapeText(shape)) needs \(expected) bytes, its data_offsets span \(found)"
    case .badOffsets(let tensor, let problem): "tensor '\(tensor)': \(problem)"
    case .gap(let tensor, let offset): "byte \(offset) of the data, before tensor '\(tensor)', belongs to no tensor"
    case .overlap(let tensor, let other): "tensors '\(other)' and '\(tensor)' overlap"
    case .trailingBytes(let count): "\(count) bytes after the last tensor belong to nothing"
    case .unknownTensor(let name): "the file has no tensor '\(name)'"
    }
  }
}
