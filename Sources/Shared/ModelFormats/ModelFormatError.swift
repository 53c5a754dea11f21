package import StrictJSON
package import SystemSupport

/// Why a model cannot be opened or read: the file, the place, what was found and what is supported.
package enum ModelFormatError: Error, Sendable, Equatable, CustomStringConvertible {
  case system(SystemCallError)
  case notAModel(path: String, found: String)
  /// The file ends before what its own header announces: still being copied, or cut off.
  case truncated(path: String, part: String, needed: UInt64, size: Int)
  case malformed(path: String, place: String, problem: String)
  case badJSON(path: String, JSONError)
  case badSafetensors(path: String, SafetensorsError)
  case missing(path: String, what: String)
  case unsupported(path: String, what: String, found: String, supported: String)
  case unsupportedTensorType(path: String, tensor: String, type: String, supported: String)
  case wrongShape(path: String, tensor: String, found: [Int], expected: [Int])
  case unknownTensor(path: String, name: String)

  package var description: String {
    switch self {
    case .system(let error):
      error.description
    case .notAModel(let path, let found):
      "'\(path)' is \(found); a model is a GGUF file, or a directory with config.json and *.safetensors"
    case .truncated(let path, let part, let needed, let size):
      "'\(path)' is cut off in \(part): at least \(needed) bytes are needed, the file has \(size); copy it again"
    case .malformed(let path, let place, let problem):
      "'\(path)' is damaged: \(place): \(problem)"
    case .badJSON(let path, let error):
      "'\(path)' is not the JSON that was expected: \(error)"
    case .badSafetensors(let path, let error):
      "'\(path)': \(error)"
    case .missing(let path, let what):
      "'\(path)' has no \(what)"
    case .unsupported(let path, let what, let found, let supported):
      "'\(path)': \(what) is \(found); supported: \(supported)"
    case .unsupportedTensorType(let path, let tensor, let type, let supported):
      "'\(path)': tensor '\(tensor)' is of type \(type); supported: \(supported)"
    case .wrongShape(let path, let tensor, let found, let expected):
      "'\(path)': tensor '\(tensor)' has shape \(shapeText(found)), its configuration asks for \(shapeText(expected))"
    case .unknownTensor(let path, let name):
      "'\(path)' has no tensor '\(name)'"
    }
  }
}

/// "576x1536"; "scalar" where there is no dimension.
func shapeText(_ shape: [Int]) -> String {
  shape.isEmpty ? "scalar" : shape.map(String.init).joined(separator: "x")
}
