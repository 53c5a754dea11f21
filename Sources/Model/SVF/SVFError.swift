package import LinearAlgebra
package import SystemSupport

/// A factorization that could not be computed, written or read.
package enum SVFError: Error, CustomStringConvertible {
  /// The eigensolver refused a matrix.
  case matrix(name: String, LAPACKError)
  /// The cache file could not be written or mapped.
  case file(SystemCallError)
  case tooLarge(matrices: Int)

  package var description: String {
    switch self {
    case .matrix(let name, let error): "cannot factor '\(name)': \(error)"
    case .file(let error): "cannot keep the factorization: \(error)"
    case .tooLarge(let matrices): "cannot factor a model of \(matrices) matrices: their sizes do not fit into memory"
    }
  }
}
