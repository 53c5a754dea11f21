import Adaptation
import LinearAlgebra
import ModelFormats
import Multipliers
import SVF
import Search
import SystemSupport

/// `t2bench sibling`: a second base model of the same shapes, for transfer checks; etc/make-sibling calls it.
///
/// Every target matrix W becomes (1 − mix) W + mix R W, or W R for tall ones, with a random rotation R of the short side:
/// the same spectrum and almost the same function, but other weights in every element, as a model that was trained a
/// little further has. With `permute` the singular values of W change places before that, each only with those nearly as
/// large: the model still works, but the i-th largest singular value stands for another direction, so what an expert says
/// by its order is lost. That is the negative control of a transfer check.
struct Sibling {
  var model: String
  var output: String
  var mix: Float = 0.03
  var seed: UInt64 = 1
  var permutes = false
  /// Singular values change places while they differ by less than this factor.
  var spread: Float = 1.1

  static let usage = """
    usage: t2bench sibling MODEL.gguf OUT.gguf [--mix 0.03] [--seed N] [--permute] [--spread 1.1]

    Makes a base model of the same shapes as MODEL: of every target matrix 1 - mix, and mix of a randomly rotated copy.

      --mix SHARE      0 to 1
      --seed N         of every random number; the same seed gives the same file
      --permute        singular values change places with those nearly as large: an expert's order is lost
      --spread FACTOR  how much larger "nearly" may be

    """

  init(_ arguments: some Sequence<String>) throws(BenchmarkError) {
    var paths: [String] = []
    var rest = Array(arguments)[...]
    func number<Number: LosslessStringConvertible>(_ option: String, _ type: Number.Type) throws(BenchmarkError)
      -> Number
    {
      guard let text = rest.popFirst(), let number = Number(text) else {
        throw BenchmarkError("\(option) needs a number")
      }
      return number
    }
    while let argument = rest.popFirst() {
      switch argument {
      case "--mix": mix = try number(argument, Float.self)
      case "--seed": seed = try number(argument, UInt64.self)
      case "--spread": spread = try number(argument, Float.self)
      case "--permute": permutes = true
      default:
        guard !argument.hasPrefix("-") else { throw BenchmarkError("unknown option '\(argument)'\n\(Self.usage)") }
        paths.append(argument)
      }
    }
    guard paths.count == 2 else { throw BenchmarkError("sibling needs a model and where to write\n\(Self.usage)") }
    guard (0...1).contains(mix), spread >= 1 else {
      throw BenchmarkError("--mix is a share from 0 to 1 and --spread a factor of at least 1; got \(mix) and \(spread)")
    }
    (model, output) = (paths[0], paths[1])
  }

  func run(_ context: borrowing BenchmarkContext) throws {
    let copy = try GGUFCopy(of: model)
    let layout = MultiplierLayout(copy.model.targets)
    context.say("reading \(layout.matrices.count) matrices")
    let weights = layout.matrices.map { FloatBuffer(count: $0.rows * $0.columns) }
    for (target, buffer) in zip(layout.matrices, weights) {
      try unsafe copy.model.readFloats(target.name, into: buffer.buffer)
    }
    if permutes {
      context.say("permuting singular values within factors of \(spread)")
      try permute(weights, layout, context.pool)
    }
    if mix > 0 {
      context.say("mixing \(mix) of a rotated copy")
      try rotate(weights, layout, context.pool)
    }
    context.say("writing '\(output)'")
    try copy.write(to: output) { name in
      layout.index(of: name).map { unsafe Array(weights[$0].buffer) }
    }
  }

  // MARK: - permutation

  private func permute(_ weights: [FloatBuffer], _ layout: MultiplierLayout, _ pool: ComputePool) throws {
    let factorization = try unsafe Factorization.compute(
      layout: layout, weights: { index, _ in unsafe UnsafePointer(weights[index].pointer) }, digest: "sibling",
      into: nil, pool: pool)
    pool.forEach(layout.matrices.count, priority: .job) { index, scratch in
      let factors = factorization[index]
      let sigma = Array(factorization.sigma[layout.range(of: index)])
      let order = permutation(of: sigma, matrix: index)
      // What direction i is worth now, relative to what it was.
      let multipliers = order.indices.map { sigma[$0] > 0 ? sigma[order[$0]] / sigma[$0] : 1 }
      let target = layout.matrices[index]
      let result = FloatBuffer(count: target.rows * target.columns)
      unsafe multipliers.withUnsafeBufferPointer { values in
        guard let base = values.baseAddress else { return }
        unsafe materialize(
          factors, weight: weights[index].pointer, multipliers: base, into: result.pointer, scratch: scratch)
      }
      unsafe weights[index].pointer.update(from: result.pointer, count: result.count)
    }
  }

  /// Shuffles each run of neighbours of which the first is at most `spread` times the last.
  private func permutation(of sigma: [Float], matrix: Int) -> [Int] {
    var order = Array(sigma.indices)
    let generator = Philox(seed: seed)
    var start = 0
    while start < sigma.count {
      var end = start
      while end < sigma.count, sigma[end] * spread >= sigma[start] { end += 1 }
      end = max(end, start + 1)
      let stream = UInt32(truncatingIfNeeded: matrix * 65_536 + start)
      let shuffled = generator.permutation(of: end - start, stream: stream)
      for (place, from) in shuffled.enumerated() { order[start + place] = start + from }
      start = end
    }
    return order
  }

  // MARK: - rotation

  private func rotate(_ weights: [FloatBuffer], _ layout: MultiplierLayout, _ pool: ComputePool) throws {
    let failure = Mutex<LAPACKError?>(nil)
    pool.forEach(layout.matrices.count, priority: .job) { index, scratch in
      let target = layout.matrices[index]
      let (m, n, r) = (target.rows, target.columns, target.rank)
      do throws(LAPACKError) {
        let rotation = try unsafe rotation(order: r, matrix: index, scratch)
        let w = unsafe weights[index].pointer
        let rotated = FloatBuffer(count: m * n)
        unsafe m <= n
          ? BLAS.gemm(
            transposeA: false, transposeB: false, m: m, n: n, k: m, a: rotation, lda: m, b: w, ldb: n,
            c: rotated.pointer, ldc: n)
          : BLAS.gemm(
            transposeA: false, transposeB: false, m: m, n: n, k: n, a: w, lda: n, b: rotation, ldb: n,
            c: rotated.pointer, ldc: n)
        for i in 0..<m * n { unsafe w[i] = (1 - mix) * w[i] + mix * rotated.pointer[i] }
      } catch {
        failure.withLock { $0 = $0 ?? error }
      }
    }
    if let failure = failure.withLock({ $0 }) { throw failure }
  }

  /// A random rotation (order, order): the eigenvectors of a symmetric matrix of independent normal numbers are
  /// distributed evenly over all of them, up to their signs, which are drawn too.
  private func rotation(
    order r: Int, matrix: Int, _ scratch: Scratch
  ) throws(LAPACKError) -> UnsafeMutablePointer<Float> {
    let generator = Philox(seed: seed)
    let symmetric = unsafe scratch.doubles(0, count: r * r)
    let stream = UInt32(truncatingIfNeeded: matrix)
    for row in 0..<r {
      for column in 0...row {
        let (value, _) = generator.normals([UInt32(row), UInt32(column), 1, stream])
        unsafe symmetric[row * r + column] = row == column ? value * 2.0.squareRoot() : value
      }
    }
    let values = unsafe scratch.doubles(1, count: r)
    let vectors = unsafe scratch.floats(6, count: r * r)
    try unsafe symmetricEigen(
      symmetric, order: r, values: values, vectors: vectors,
      workspace: scratch.doubles(2, count: eigenWorkspaceCount(order: r)))
    for row in 0..<r where generator.uniforms([UInt32(row), 0, 2, stream]).0 < 0.5 {
      for column in 0..<r { unsafe vectors[row * r + column] = -vectors[row * r + column] }
    }
    return unsafe vectors
  }
}
