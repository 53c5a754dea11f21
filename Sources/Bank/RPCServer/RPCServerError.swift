package import SystemSupport

package enum RPCServerError: Error, Equatable, CustomStringConvertible {
  case pathTooLong(path: String, bytes: Int)
  case inUse(path: String)
  case notASocket(path: String)
  case system(SystemCallError)

  /// sockaddr_un.sun_path without its terminating zero (man 7 unix).
  package static let maximumPathBytes = 107

  package var description: String {
    switch self {
    case .pathTooLong(let path, let bytes):
      "the socket path '\(escaped(path, limit: 160))' has \(bytes) bytes, and a Unix socket's at most "
        + "\(Self.maximumPathBytes); choose a shorter prefix, or a shorter --socket"
    case .inUse(let path):
      "another daemon answers at '\(escaped(path))'; stop it first, or choose another prefix"
    case .notASocket(let path):
      "'\(escaped(path))' exists and is not a socket; move it away"
    case .system(let error): error.description
    }
  }
}
