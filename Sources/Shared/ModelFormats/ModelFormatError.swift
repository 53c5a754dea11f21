package import FileKinds
package import StrictJSON
package import SystemSupport

/// Why a model cannot be opened or read: the file, the place, what was found and what is supported.
package enum ModelFormatError: Error, Sendable, Equatable, CustomStringConvertible {
  case system(SystemCallError)
  /// `advice` is what to do, where more is known than what a model is.
  case notAModel(path: String, found: String, advice: String? = nil)
  /// A file whose first bytes are those of something else than what is `expected`.
  case anotherKind(path: String, FileKind, expected: String)
  /// By its name, or by `sign`, the name of a file that lies beside it.
  case unfinishedDownload(path: String, sign: String?)
  /// The files of a model that are there are not its files, or may be so in more than one way.
  case wrongParts(path: String, problem: String, advice: String)
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
    case .notAModel(let path, let found, let advice):
      "'\(path)' is \(found); "
        + (advice ?? "a model is a GGUF file, or a directory with config.json and *.safetensors")
    case .anotherKind(let path, let kind, let expected):
      "'\(path)' is \(kind)" + (kind.advice == nil ? ", and should be \(expected)" : "")
    case .unfinishedDownload(let path, let sign?):
      "'\(path)' is a download that is not at its end, since '\(sign)' lies beside it; wait for its end, or remove "
        + "'\(sign)' where the file is whole"
    case .unfinishedDownload(let path, nil):
      "'\(path)' is by its name a download that is not at its end; wait for it, or rename the file where it is whole"
    case .wrongParts(let path, let problem, let advice):
      "'\(path)': \(problem); \(advice)"
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

/// A path as a word of a command that is shown.
func shellWord(_ path: String) -> String {
  let isPlain = path.utf8.allSatisfy { byte in
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
    case UInt8(ascii: "0")...UInt8(ascii: "9"): true
    case UInt8(ascii: "/"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "+"): true
    default: false
    }
  }
  return isPlain ? path : "'" + path.replacing("'", with: #"'\''"#) + "'"
}
