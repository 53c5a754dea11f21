package import LinearAlgebra
package import Multipliers
import SystemSupport

/// The values (m, n) of a matrix by its index in the layout, for the tile that asks: they may lie in its scratch, beyond
/// slot 7. Called on compute threads, several at once.
package typealias MatrixReader = @Sendable (_ index: Int, Scratch) -> UnsafePointer<Float>

extension Factorization {
  /// Factors all matrices on the pool, a matrix to a tile, as a job: interactive runs go in between. Blocks. Matrices of
  /// equal values are factored once: models that were made deeper may repeat layers as they are.
  ///
  /// With a cache file, each result goes to a temporary file beside it as it is ready, which is made durable, renamed and
  /// mapped at the end; memory holds one matrix a thread. Where the process ends before that, or is told to stop, the
  /// temporary file stays, and the next computation of the same model goes on with it: at most what was being computed, or
  /// with the power gone the last seconds, is lost. Without a cache file, the result stays in memory.
  /// - Parameters:
  ///   - digest: of the model; names the content in the file.
  ///   - precision: of Q; it is computed in double, and rounded once.
  ///   - cacheFile: its directory exists.
  ///   - shouldStop: asked before each matrix; where it says true, throws ``SVFError/stopped``.
  ///   - progress: called once before the first matrix, then on compute threads, one at a time, and must be quick.
  package static func compute(
    layout: MultiplierLayout, weights: @escaping MatrixReader, digest: String, precision: FactorPrecision = .single,
    into cacheFile: String?, pool: ComputePool, shouldStop: @escaping @Sendable () -> Bool = { false },
    progress: @escaping @Sendable (FactorizationProgress) -> Void = { _ in }
  ) throws(SVFError) -> Factorization {
    guard let file = FactorizationFile(digest: digest, layout: layout, precision: precision) else {
      throw .tooLarge(matrices: layout.matrices.count)
    }
    let all = layout.factored
    guard let cacheFile else {
      let memory = try keeping { () throws(SystemCallError) in try MappedFile(anonymous: file.byteCount) }
      let written = Factorization(layout: layout, file: file, memory: memory, isCached: false)
      try unsafe run(all, written, weights, precision, pool, shouldStop, progress) {
        (index, result) throws(SystemCallError) in
        let sigma = unsafe memory.address + file.sigma + layout.offsets[index] * MemoryLayout<Float>.stride
        unsafe copy(UnsafeRawBufferPointer(result.sigma), to: sigma)
        unsafe copy(result.q, to: memory.address + file.q[index])
      }
      // It took the singular values when there were none yet.
      return Factorization(layout: layout, file: file, memory: memory, isCached: false)
    }

    let unfinished = try keeping { () throws(SystemCallError) in try UnfinishedFile(of: file, at: cacheFile) }
    do throws(SVFError) {
      let mapped = try keeping { () throws(SystemCallError) in try unfinished.map(byteCount: file.byteCount) }
      let written = Factorization(layout: layout, file: file, memory: mapped, isCached: true)
      let missing = unfinished.isContinued ? written.damagedMatrices(pool).sorted() : all
      try unsafe run(missing, written, weights, precision, pool, shouldStop, progress) {
        (index, result) throws(SystemCallError) in
        try unsafe unfinished.write(result.sigma, at: file.sigma + layout.offsets[index] * MemoryLayout<Float>.stride)
        try unsafe unfinished.write(result.q, at: file.q[index])
        // Last: what has it, is there.
        let sum = unsafe Factorization.sum(sigma: result.sigma, q: result.q)
        try unfinished.write(sum, at: file.sums + index * MemoryLayout<UInt64>.stride)
        try unfinished.synchronizeSometimes()
      }
      let memory = try keeping { () throws(SystemCallError) in
        try unfinished.commit(header: file.header, byteCount: file.byteCount)
      }
      let factorization = Factorization(layout: layout, file: file, memory: memory, isCached: true)
      // What was written is what is mapped, unless something has gone wrong between.
      if let problem = factorization.damage(pool) { throw .unfaithful(path: cacheFile, problem) }
      return factorization
    } catch {
      switch error {
      case .stopped, .unfaithful, .tooLarge: break
      case .matrix, .file: unfinished.remove()
      }
      throw error
    }
  }

  /// The arrays of one matrix, in a thread's scratch, good until its tile ends; or where they were written.
  @unsafe private struct Result {
    let sigma: UnsafeBufferPointer<Float>
    /// Of the wanted precision.
    let q: UnsafeRawBufferPointer

    init(sigma: UnsafeBufferPointer<Float>, q: UnsafeRawBufferPointer) { unsafe (self.sigma, self.q) = (sigma, q) }

    init(_ matrix: FactoredMatrix) {
      let r = matrix.rank
      unsafe sigma = UnsafeBufferPointer(start: matrix.sigma, count: r)
      unsafe q = UnsafeRawBufferPointer(start: matrix.storedQ, count: r * r * matrix.precision.size)
    }
  }

  /// Factors some matrices and hands each result to `store`, on compute threads, so that it can be found in `written`. After
  /// the first error the rest is skipped.
  private static func run(
    _ matrices: [Int], _ written: Factorization, _ weights: @escaping MatrixReader,
    _ precision: FactorPrecision, _ pool: ComputePool, _ shouldStop: @escaping @Sendable () -> Bool,
    _ progress: @escaping @Sendable (FactorizationProgress) -> Void,
    _ store: @escaping @Sendable (Int, Result) throws(SystemCallError) -> Void
  ) throws(SVFError) {
    let layout = written.layout
    let met = RepeatedMatrices()
    // The most expensive first: the last tiles to run are then short ones, and no thread waits long for another at the end.
    let order = matrices.sorted { cost(layout.matrices[$0]) > cost(layout.matrices[$1]) }
    let all = layout.factored.map { cost(layout.matrices[$0]) }
    let start = FactorizationProgress(all, missing: matrices.map { cost(layout.matrices[$0]) })
    progress(start)
    let state = Mutex((progress: start, failure: SVFError?.none))
    pool.forEach(order.count, priority: .job) { tile, scratch in
      guard state.withLock({ $0.failure == nil }) else { return }
      let index = order[tile]
      do throws(SVFError) {
        guard !shouldStop() else { throw .stopped }
        let target = layout.matrices[index]
        let weight = unsafe weights(index, scratch)
        var stored = 1
        let content = unsafe RepeatedMatrices.Content(target, weight)
        switch met.meet(content, as: index) {
        case .beingFactored: return
        case .factored(let earlier):
          let result = unsafe Result(written[earlier])
          try keeping { () throws(SystemCallError) in try unsafe store(index, result) }
        case .first:
          let result = try unsafe factored(target, weight: weight, precision, scratch)
          try keeping { () throws(SystemCallError) in try unsafe store(index, result) }
          let others = met.finish(content, as: index)
          for other in others { try keeping { () throws(SystemCallError) in try unsafe store(other, result) } }
          stored += others.count
        }
        // Steady work keeps its scratch; a model of another size should not hold gigabytes for it.
        scratch.trim(above: 4 << 20)
        state.withLock {
          $0.progress.finish(cost(target), count: stored)
          progress($0.progress)
        }
      } catch {
        state.withLock { $0.failure = $0.failure ?? error }
      }
    }
    if let failure = state.withLock({ $0.failure }) { throw failure }
  }

  /// In slots 4 to 6 of the scratch.
  private static func factored(
    _ target: TargetMatrix, weight: UnsafePointer<Float>, _ precision: FactorPrecision, _ scratch: Scratch
  ) throws(SVFError) -> Result {
    let r = target.rank
    let sigma = unsafe scratch.floats(4, count: r)
    let q = unsafe scratch.floats(5, count: r * r)
    do throws(LAPACKError) {
      try unsafe factorize(target, weight: weight, q: q, sigma: sigma, scratch: scratch)
    } catch {
      throw .matrix(name: target.name, error)
    }
    var stored = UnsafeRawPointer(q)
    if precision == .half {
      let halves = unsafe UnsafeMutableRawPointer(scratch.floats(6, count: (r * r + 1) / 2))
      let values = unsafe halves.bindMemory(to: Float16.self, capacity: r * r)
      for i in 0..<r * r { unsafe values[i] = Float16(q[i]) }
      unsafe stored = UnsafeRawPointer(halves)
    }
    return unsafe Result(
      sigma: UnsafeBufferPointer(start: sigma, count: r),
      q: UnsafeRawBufferPointer(start: stored, count: r * r * precision.size))
  }

  private static func copy(_ source: UnsafeRawBufferPointer, to target: UnsafeMutableRawPointer) {
    unsafe UnsafeMutableRawBufferPointer(start: target, count: source.count).copyMemory(from: source)
  }

  /// Time in a unit of its own: eigenvectors of r = 4096 take as long as a Gram matrix of a long side of 26,000.
  private static func cost(_ target: TargetMatrix) -> Double {
    let (r, long) = (Double(target.rank), Double(max(target.rows, target.columns)))
    return r * r * (6.5 * r + long)
  }

  private static func keeping<Value>(_ body: () throws(SystemCallError) -> Value) throws(SVFError) -> Value {
    do throws(SystemCallError) { return try body() } catch { throw .file(error) }
  }
}
