import CLAPACKE

/// LAPACK could not do what it was asked.
package enum LAPACKError: Error, Equatable, CustomStringConvertible {
  /// The matrix holds a NaN or an infinity.
  case notFinite(order: Int)
  case noConvergence(order: Int, info: Int)

  package var description: String {
    switch self {
    case .notFinite(let order):
      "cannot factor a matrix of order \(order): it holds a NaN or an infinity; is the model file damaged?"
    case .noConvergence(let order, let info):
      "cannot factor a matrix of order \(order): LAPACK's divide and conquer did not converge (info \(info))"
    }
  }
}

/// The eigensystem of the symmetric `matrix` (n, n), of which the lower triangle (row-major) is read and which is
/// overwritten: eigenvalues ascending into `values` (n) in double, and the vectors into `vectors` (n, n), row i the one of
/// `values[i]`, rounded to float. Computes in the calling thread.
///
/// What `dsyevd` does (tridiagonal form, divide and conquer), but the last step, from the vectors of the tridiagonal
/// matrix back to those of the full one, in float: they are wanted in float, it is orthogonal and so amplifies nothing,
/// and it takes 8 instead of 15 of 50 ms at order 576. The vectors then are right and orthogonal to some 5e-7 (Frobenius,
/// a vector), against 4e-8 by rounding alone. `dsyevr` takes 1.3 times as long as `dsyevd` here.
/// - Parameter workspace: ``eigenWorkspaceCount(order:)`` doubles.
package func symmetricEigen(
  _ matrix: UnsafeMutablePointer<Double>, order n: Int, values: UnsafeMutablePointer<Double>,
  vectors: UnsafeMutablePointer<Float>, workspace: UnsafeMutablePointer<Double>
) throws(LAPACKError) {
  BLAS.prepare()
  guard n > 0 else { return }
  for row in 0..<n {
    for column in 0...row where unsafe !matrix[row * n + column].isFinite { throw .notFinite(order: n) }
  }
  let part = EigenWorkspace(order: n)
  let (order, doubles) = (Int32(n), Int32(part.doubles))
  let (offDiagonal, tau) = unsafe (workspace + part.offDiagonal, workspace + part.tau)
  let (tridiagonalVectors, work) = unsafe (workspace + part.vectors, workspace + part.work)

  // Row-major's lower triangle is column-major's upper one, and columns of the result are then rows to us.
  let upper = CChar(bitPattern: UInt8(ascii: "U"))
  var info = unsafe LAPACKE_dsytrd_work(
    LAPACK_COL_MAJOR, upper, order, matrix, order, values, offDiagonal, tau, work, doubles)
  guard info == 0 else { throw .noConvergence(order: n, info: Int(info)) }
  let integers = unsafe UnsafeMutableRawPointer(workspace + part.integers).assumingMemoryBound(to: Int32.self)
  info = unsafe LAPACKE_dstedc_work(
    LAPACK_COL_MAJOR, CChar(bitPattern: UInt8(ascii: "I")), order, values, offDiagonal, tridiagonalVectors, order, work,
    doubles, integers, Int32(part.integerCount))
  guard info == 0 else { throw .noConvergence(order: n, info: Int(info)) }

  // The reflectors lie in `matrix` and `tau`; in float they need half of the work space, which is free again.
  let reflectors = unsafe UnsafeMutableRawPointer(work).assumingMemoryBound(to: Float.self)
  let (floatTau, floatWork) = unsafe (reflectors + n * n, reflectors + n * n + n)
  for i in 0..<n * n {
    unsafe reflectors[i] = Float(matrix[i])
    unsafe vectors[i] = Float(tridiagonalVectors[i])
  }
  for i in 0..<n { unsafe floatTau[i] = Float(tau[i]) }
  info = unsafe LAPACKE_sormtr_work(
    LAPACK_COL_MAJOR, CChar(bitPattern: UInt8(ascii: "L")), upper, CChar(bitPattern: UInt8(ascii: "N")), order, order,
    reflectors, order, floatTau, vectors, order, floatWork, Int32(2 * part.doubles - n * n - n))
  guard info == 0 else { throw .noConvergence(order: n, info: Int(info)) }
}

/// Doubles that ``symmetricEigen(_:order:values:vectors:workspace:)`` needs.
package func eigenWorkspaceCount(order n: Int) -> Int { EigenWorkspace(order: n).count }

/// How the work space is divided, in doubles.
private struct EigenWorkspace {
  let offDiagonal = 0
  let tau: Int
  let vectors: Int
  let work: Int
  /// dstedc asks for 1 + 4n + n²; dsytrd and sormtr want blocks of up to 64 columns, sormtr a block matrix besides.
  let doubles: Int
  let integers: Int
  let integerCount: Int

  init(order n: Int) {
    tau = n
    vectors = 2 * n
    work = vectors + n * n
    doubles = 1 + 70 * n + n * n + 4160
    integers = work + doubles
    integerCount = 3 + 5 * n
  }

  var count: Int { integers + (integerCount + 1) / 2 }
}
