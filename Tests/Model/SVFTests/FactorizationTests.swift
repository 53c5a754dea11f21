import Glibc
import LinearAlgebra
import Multipliers
import SystemSupport
import TestSupport
import Testing

@testable import SVF

@Suite struct FactorizationTests {
  static let layout = MultiplierLayout([
    TargetMatrix(name: "model.layers.0.q", rows: 9, columns: 9, layer: 0),
    TargetMatrix(name: "model.layers.0.up", rows: 20, columns: 9, layer: 0),
    TargetMatrix(name: "model.layers.0.down", rows: 9, columns: 20, layer: 0),
  ])
  static let digest = "sha256:" + String(repeating: "ab", count: 32)

  /// The weights of the layout's matrices.
  final class Weights: Sendable {
    let buffers: [FloatBuffer]
    init(seed: UInt64 = 1) {
      var random = SplitMix(seed: seed)
      buffers = layout.matrices.map { matrix in
        let buffer = FloatBuffer(count: matrix.rows * matrix.columns)
        for (i, value) in random.floats(buffer.count).enumerated() { unsafe buffer.pointer[i] = value }
        return buffer
      }
    }
  }

  func compute(_ weights: Weights = Weights(), into path: String?) throws -> Factorization {
    try unsafe Factorization.compute(
      layout: Self.layout, weights: { index, _ in unsafe UnsafePointer(weights.buffers[index].pointer) },
      digest: Self.digest,
      into: path, pool: ComputePool(threads: 2))
  }

  func load(
    _ path: String, digest: String = FactorizationTests.digest, layout: MultiplierLayout = Self.layout,
    precision: FactorPrecision = .single
  ) throws -> Factorization? {
    guard case .whole(let found) = try lying(path, digest: digest, layout: layout, precision: precision) else {
      return nil
    }
    return found
  }

  func lying(
    _ path: String, digest: String = FactorizationTests.digest, layout: MultiplierLayout = Self.layout,
    precision: FactorPrecision = .single
  ) throws -> Factorization.Cached {
    try Factorization.load(
      cacheFile: path, expecting: digest, layout: layout, precision: precision, pool: ComputePool(threads: 2))
  }

  /// All arrays, for comparison.
  func content(_ factorization: Factorization) -> [[Float]] {
    factorization.layout.matrices.indices.flatMap { index in
      let f = factorization[index]
      return unsafe [
        f.entries,
        Array(UnsafeBufferPointer(start: f.sigma, count: f.rank)),
      ]
    }
  }

  @Test func whatWasComputedIsMappedNextTime() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/factors"
      #expect(try load(path) == nil)
      let computed = try compute(into: path)
      let loaded = try #require(try load(path))
      #expect(loaded.isCached && computed.isCached)
      #expect(content(loaded) == content(computed))
      #expect(loaded.sigma == computed.sigma)
      let inMemory = try compute(into: nil)
      #expect(content(inMemory) == content(computed))
      for index in Self.layout.matrices.indices {
        let view = loaded[index]
        #expect(unsafe UInt(bitPattern: view.storedQ) % 64 == 0)
      }
      loaded.adviseUnused()
      #expect(content(loaded) == content(computed))
      #expect(try entries(directory) == ["factors"])
    }
  }

  /// Others are neither computed nor stored; the file is not that of all, nor that of all this one.
  @Test func onlyWhatIsFactoredIsComputedAndKept() throws {
    try withTemporaryDirectory { directory in
      let (path, weights) = ("\(directory)/factors", Weights())
      var matrices = Self.layout.matrices
      matrices[1].isFactored = false
      let part = MultiplierLayout(matrices)
      let seen = Mutex<[FactorizationProgress]>([])
      let read = Mutex<Set<Int>>([])
      let computed = try unsafe Factorization.compute(
        layout: part,
        weights: { index, _ in
          read.withLock { _ = $0.insert(index) }
          return unsafe UnsafePointer(weights.buffers[index].pointer)
        },
        digest: Self.digest, into: path, pool: ComputePool(threads: 2),
        progress: { progress in seen.withLock { $0.append(progress) } })
      #expect(read.withLock { $0 } == [0, 2])
      #expect(seen.withLock { $0 }.map(\.done) == [0, 1, 2] && seen.withLock { $0 }.last?.share == 1)
      let all = try compute(weights, into: nil)
      #expect(content(computed) == [0, 1, 4, 5].map { content(all)[$0] }.inserting([[], []], at: 2))
      #expect(computed.sigma == Array(all.sigma[..<9]) + Array(all.sigma[18...]))
      #expect(Factorization.productBytes(of: part) < Factorization.productBytes(of: Self.layout))

      let loaded = try #require(try load(path, layout: part))
      #expect(content(loaded) == content(computed))
      guard case .damaged = try lying(path) else {
        Issue.record("a part was taken for all")
        return
      }
      _ = try compute(weights, into: path)
      #expect(try load(path) != nil && load(path, layout: part) == nil)
    }
  }

  @Test func aFileThatIsNotExactlyOursIsIgnored() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/factors"
      _ = try compute(into: path)
      let good = try readAll(path)

      #expect(try load(path, digest: Self.digest.replacing("ab", with: "ac")) == nil)
      let renamed = MultiplierLayout(
        Self.layout.matrices.map {
          TargetMatrix(name: $0.name + "x", rows: $0.rows, columns: $0.columns, layer: $0.layer)
        })
      #expect(try load(path, layout: renamed) == nil)

      for bad in [
        [], Array(good.dropLast()), good + [0], Array(good.prefix(4096)), changed(good, at: 0), changed(good, at: 9),
        changed(good, at: 30), changed(good, at: 4095),
      ] {
        try writeAll(path, bad)
        guard case .damaged(let problem) = try lying(path) else {
          Issue.record("not found damaged")
          continue
        }
        #expect(!problem.isEmpty)
      }
      // One that an earlier version wrote is old and nothing else.
      for version: UInt8 in 1...2 {
        try writeAll(path, Array(good.prefix(8)) + [version, 0, 0, 0] + Array(good.dropFirst(12)))
        guard case .missing = try lying(path) else {
          Issue.record("a file of version \(version) is damaged")
          return
        }
      }
      try writeAll(path, good)
      #expect(try load(path) != nil)
      #expect(unsafe chmod(path, 0o666) == 0)
      #expect(try load(path) == nil)

      _ = try compute(into: path)
      #expect(try readAll(path) == good)
    }
  }

  /// Every bit of what a matrix is made of, while the file is mapped and when it is loaded.
  @Test func aFlippedBitInAnyArrayIsFound() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/factors"
      let mapped = try compute(into: path)
      let pool = ComputePool(threads: 2)
      let good = try readAll(path)
      let file = try #require(FactorizationFile(digest: Self.digest, layout: Self.layout, precision: .single))
      var offsets = [file.sums, file.sums + 23, file.sigma, file.sigma + 4 * Self.layout.count - 1]
      for (index, matrix) in Self.layout.matrices.enumerated() {
        offsets += [file.q[index], file.q[index] + 4 * matrix.rank * matrix.rank - 1]
      }
      var count = 0
      for offset in offsets {
        for bit in 0..<8 {
          try flip(path, at: offset, bit: bit)
          #expect(mapped.hasChanged)
          #expect(mapped.damage(pool)?.contains("the checksum of 'model.layers.0.") == true, "\(offset), \(bit)")
          #expect(try load(path) == nil, "\(offset), \(bit)")
          try flip(path, at: offset, bit: bit)
          #expect(mapped.damage(pool) == nil)
          #expect(!mapped.hasChanged)
          count += 1
        }
      }
      #expect(try readAll(path) == good)
      print("factorization: \(count) flipped bits, each found while mapped and at a load")
    }
  }

  @Test func aLinkOrADirectoryInItsPlaceIsIgnored() throws {
    try withTemporaryDirectory { directory in
      _ = try compute(into: "\(directory)/real")
      #expect(unsafe symlink("\(directory)/real", "\(directory)/link") == 0)
      #expect(try load("\(directory)/link") == nil)
      #expect(unsafe mkdir("\(directory)/sub", 0o700) == 0)
      #expect(try load("\(directory)/sub") == nil)
    }
  }

  @Test func aDamagedMatrixIsNamedAndLeavesNothingBehind() throws {
    try withTemporaryDirectory { directory in
      let weights = Weights()
      unsafe weights.buffers[1].pointer[7] = .nan
      #expect {
        try compute(weights, into: "\(directory)/factors")
      } throws: {
        "\($0)".contains("'model.layers.0.up'")
      }
      let left = try entries(directory)
      #expect(left.isEmpty)
    }
  }

  @Test func whatAnEarlierVersionLeftIsRemovedButNotWhatIsBeingWritten() throws {
    try withTemporaryDirectory { directory in
      let (abandoned, inUse) = ("\(directory)/factors.partial-1", "\(directory)/factors.partial-2")
      try writeAll(abandoned, [1])
      try writeAll(inUse, [1])
      let writer = unsafe open(inUse, O_RDONLY)
      defer { close(writer) }
      #expect(flock(writer, LOCK_EX) == 0)
      _ = try compute(into: "\(directory)/factors")
      #expect(try entries(directory) == ["factors", "factors.partial-2"])
    }
  }

  @Test func aPlaceThatCannotBeWrittenIsAnErrorThatNamesIt() throws {
    #expect {
      try compute(into: "/proc/t2d-nowhere/factors")
    } throws: {
      "\($0)".contains("/proc/t2d-nowhere/factors")
    }
  }

  /// Computes at most `limit` matrices, and says which were asked for.
  private func computing(
    _ limit: Int, into path: String, digest: String = FactorizationTests.digest, _ weights: Weights = Weights()
  ) throws -> (asked: [Int], factorization: Factorization?) {
    let asked = Mutex<[Int]>([])
    do throws(SVFError) {
      let found = try unsafe Factorization.compute(
        layout: Self.layout,
        weights: { index, _ in
          asked.withLock { $0.append(index) }
          return unsafe UnsafePointer(weights.buffers[index].pointer)
        }, digest: digest, into: path, pool: ComputePool(threads: 1),
        shouldStop: { asked.withLock { $0.count } >= limit })
      return (asked.withLock { $0 }, found)
    } catch .stopped {
      return (asked.withLock { $0 }, nil)
    } catch {
      throw error
    }
  }

  @Test func whatWasStoppedGoesOnAfterTheMatricesThatAreThere() throws {
    try withTemporaryDirectory { directory in
      let (path, whole) = (directory + "/factors", directory + "/whole")
      _ = try compute(into: whole)
      var asked: [Int] = []
      for count in 1...2 {
        let step = try computing(1, into: path)
        #expect(step.factorization == nil)
        asked += step.asked
        #expect(asked.count == count)
        #expect(try entries(directory) == ["factors.partial", "whole"])
        #expect(try load(path) == nil)
      }
      let last = try computing(.max, into: path)
      #expect(Set(asked + last.asked) == Set(Self.layout.matrices.indices) && last.asked.count == 1)
      #expect(last.factorization != nil)
      #expect(try readAll(path) == readAll(whole))
      #expect(try entries(directory) == ["factors", "whole"])
    }
  }

  @Test func ofAnUnfinishedFileOnlyWhatItsChecksumsConfirmIsUsed() throws {
    try withTemporaryDirectory { directory in
      let (path, whole) = (directory + "/factors", directory + "/whole")
      _ = try compute(into: whole)
      let file = try #require(FactorizationFile(digest: Self.digest, layout: Self.layout, precision: .single))
      let first = try #require(try computing(1, into: path).asked.first)
      let good = try readAll(path + ".partial")
      for (what, bytes) in [
        ("a bit of Q", changed(good, at: file.q[first] + 5)),
        ("a bit of its sum", changed(good, at: file.sums + 8 * first)),
        ("its header", changed(good, at: 30)), ("a finished header", file.header + good.dropFirst(file.header.count)),
        ("cut short", Array(good.dropLast())), ("empty", []),
      ] {
        try writeAll(path + ".partial", bytes)
        let again = try computing(.max, into: path)
        #expect(again.asked.count == Self.layout.matrices.count, "\(what)")
        #expect(try readAll(path) == readAll(whole), "\(what)")
      }
      try writeAll(path + ".partial", good)
      #expect(try computing(.max, into: path).asked.count == Self.layout.matrices.count - 1)
    }
  }

  /// Five matrices of two contents, one of them under two shapes: three factorizations, on one thread and on two.
  @Test(arguments: [1, 2])
  func matricesOfEqualValuesAreFactoredOnce(threads: Int) throws {
    let shapes = [(9, 20), (9, 20), (20, 9), (9, 20), (9, 20)]
    let layout = MultiplierLayout(
      shapes.enumerated().map { TargetMatrix(name: "m\($0)", rows: $1.0, columns: $1.1, layer: nil) })
    var random = SplitMix(seed: 5)
    let contents = [random.floats(180), random.floats(180)]
    let weights = [0, 1, 0, 0, 1].map { content in
      let buffer = FloatBuffer(count: 180)
      for (i, value) in contents[content].enumerated() { unsafe buffer.pointer[i] = value }
      return buffer
    }
    try withTemporaryDirectory { directory in
      for path in [nil, directory + "/factors"] {
        let steps = Mutex<[Int]>([])
        let found = try unsafe Factorization.compute(
          layout: layout, weights: { index, _ in unsafe UnsafePointer(weights[index].pointer) }, digest: Self.digest,
          into: path,
          pool: ComputePool(threads: threads), progress: { now in steps.withLock { $0.append(now.done) } })
        #expect(steps.withLock { $0.last } == 5)
        for (index, target) in layout.matrices.enumerated() {
          let alone = try unsafe Factorization.compute(
            layout: MultiplierLayout([target]), weights: { _, _ in unsafe UnsafePointer(weights[index].pointer) },
            digest: Self.digest, into: nil, pool: ComputePool(threads: 1))
          #expect(Array(content(found)[2 * index..<2 * index + 2]) == content(alone), "\(index)")
          #expect(Array(found.sigma[layout.range(of: index)]) == alone.sigma)
        }
      }
      #expect(try load(directory + "/factors", layout: layout) != nil)
    }
  }

  @Test func whoMeetsAContentThatIsBeingFactoredLeavesItToTheFirst() {
    let (met, values) = (RepeatedMatrices(), [Float](repeating: 1, count: 6))
    func content(_ rows: Int, _ columns: Int) -> RepeatedMatrices.Content {
      unsafe RepeatedMatrices.Content(TargetMatrix(name: "m", rows: rows, columns: columns, layer: nil), values)
    }
    #expect(met.meet(content(2, 3), as: 4) == .first)
    #expect(met.meet(content(2, 3), as: 5) == .beingFactored)
    #expect(met.meet(content(3, 2), as: 6) == .first)
    #expect(met.meet(content(2, 3), as: 7) == .beingFactored)
    #expect(met.finish(content(2, 3), as: 4) == [5, 7])
    #expect(met.meet(content(2, 3), as: 8) == .factored(4))
    #expect(met.finish(content(3, 2), as: 6) == [])
  }

  @Test func anotherModelsUnfinishedFileIsBegunAnew() throws {
    try withTemporaryDirectory { directory in
      let path = directory + "/factors"
      _ = try computing(2, into: path)
      let other = try computing(.max, into: path, digest: Self.digest.replacing("ab", with: "ac"), Weights(seed: 2))
      #expect(other.asked.count == Self.layout.matrices.count)
      let found = try #require(other.factorization)
      #expect(content(found) == content(try compute(Weights(seed: 2), into: nil)))
    }
  }

  @Test func twoProcessesDoNotWriteOneFile() throws {
    try withTemporaryDirectory { directory in
      let path = directory + "/factors"
      _ = try computing(1, into: path)
      let other = unsafe open(path + ".partial", O_RDONLY)
      defer { close(other) }
      #expect(flock(other, LOCK_EX) == 0)
      #expect {
        try compute(into: path)
      } throws: {
        "\($0)".contains("another process factors the same model")
      }
      #expect(flock(other, LOCK_UN) == 0)
      #expect(try compute(into: path).isCached)
    }
  }

  @Test func aLoadThatIsStoppedSaysNothingOfTheFile() throws {
    try withTemporaryDirectory { directory in
      let path = directory + "/factors"
      _ = try compute(into: path)
      let asked = Mutex(0)
      #expect {
        _ = try Factorization.load(
          cacheFile: path, expecting: Self.digest, layout: Self.layout, pool: ComputePool(threads: 1),
          shouldStop: {
            asked.withLock {
              $0 += 1
              return $0 > 1
            }
          })
      } throws: {
        if case SVFError.stopped = $0 { true } else { false }
      }
      #expect(try load(path) != nil)
    }
  }

  @Test func halvesAreTheRoundedEntriesInHalfTheSpace() throws {
    try withTemporaryDirectory { directory in
      let (path, other) = (directory + "/factors", directory + "/single")
      let weights = Weights()
      let pool = ComputePool(threads: 2)
      let single = try compute(weights, into: other)
      let half = try unsafe Factorization.compute(
        layout: Self.layout, weights: { index, _ in unsafe UnsafePointer(weights.buffers[index].pointer) },
        digest: Self.digest, precision: .half, into: path, pool: pool)
      for index in Self.layout.matrices.indices {
        let exact = single[index].entries
        let found = half[index].entries
        #expect(found == exact.map { Float(Float16($0)) })
        #expect(found != exact)
      }
      #expect(half.sigma == single.sigma)
      let loaded = try #require(try load(path, precision: .half))
      #expect(loaded.precision == .half && loaded.byteCount == half.byteCount)
      // Who wants the other one computes it anew, and hears of no damage.
      for (file, precision) in [(path, FactorPrecision.single), (other, .half)] {
        guard case .missing = try lying(file, precision: precision) else {
          Issue.record("a factorization of another precision was accepted, or called damaged")
          continue
        }
      }
    }
  }

  @Test func halvesAreForModelsWhoseFactorsAreLarge() {
    func layout(_ edge: Int, _ count: Int) -> MultiplierLayout {
      MultiplierLayout((0..<count).map { TargetMatrix(name: "m\($0)", rows: edge, columns: edge, layer: $0) })
    }
    #expect(FactorPrecision.standard(for: layout(2048, 100)) == .single)
    #expect(FactorPrecision.standard(for: layout(4096, 160)) == .half)
  }

  @Test func productsAreMadeOnceAndAreThoseOfFactorAndWeight() throws {
    let weights = Weights()
    let factorization = try compute(weights, into: nil)
    let pool = ComputePool(threads: 2)
    let asked = Mutex(0)
    for _ in 0..<2 {
      unsafe factorization.makeProducts(
        weights: { index, _ in
          asked.withLock { $0 += 1 }
          return unsafe UnsafePointer(weights.buffers[index].pointer)
        }, pool: pool, priority: .job)
    }
    #expect(asked.withLock { $0 } == Self.layout.matrices.count)
    for (index, target) in Self.layout.matrices.enumerated() {
      let expected = FloatBuffer(count: target.rows * target.columns)
      let matrix = factorization[index]
      unsafe multiplyFactor(target, q: matrix.entries, weight: weights.buffers[index].pointer, into: expected.pointer)
      #expect(unsafe Array(UnsafeBufferPointer(start: matrix.product, count: expected.count)) == Array(expected.buffer))
    }
  }

  @Test func progressCountsEveryMatrix() throws {
    let weights = Weights()
    let seen = Mutex<[FactorizationProgress]>([])
    _ = try unsafe Factorization.compute(
      layout: Self.layout, weights: { index, _ in unsafe UnsafePointer(weights.buffers[index].pointer) }, digest: "",
      into: nil,
      pool: ComputePool(threads: 3), progress: { progress in seen.withLock { $0.append(progress) } })
    let found = seen.withLock { $0 }
    #expect(found.map(\.done) == [0, 1, 2, 3] && found.allSatisfy { $0.count == 3 && $0.found == 0 })
    #expect(found.first?.share == 0 && found.last?.share == 1)
    #expect(zip(found, found.dropFirst()).allSatisfy { $0.share < $1.share })
  }

  /// A quarter of the matrices may be nearly all of the work, and what an earlier computation left is no work of this one.
  @Test func progressGoesByWorkAndBeginsWhereTheEarlierOneEnded() {
    var progress = FactorizationProgress([6, 1, 1, 2], missing: [6, 2])
    #expect(progress.done == 2 && progress.found == 2 && progress.share == 0.2)
    progress.finish(6, count: 1)
    #expect(progress.done == 3 && progress.share == 0.8)
    progress.finish(2, count: 1)
    #expect(progress.done == progress.count && progress.share == 1)
  }
}

extension Array {
  fileprivate func inserting(_ others: [Element], at index: Int) -> [Element] {
    var copy = self
    copy.insert(contentsOf: others, at: index)
    return copy
  }
}

private func changed(_ bytes: [UInt8], at index: Int) -> [UInt8] {
  var bytes = bytes
  bytes[index] ^= 1
  return bytes
}

private func flip(_ path: String, at offset: Int, bit: Int) throws {
  let file = try FileDescriptor.open(path, O_RDWR)
  let byte = try file.bytes(at: offset, count: 1)
  var flipped = byte[0] ^ 1 << bit
  #expect(unsafe pwrite(file.number, &flipped, 1, off_t(offset)) == 1)
}

/// The names in a directory, sorted.
func entries(_ path: String) throws -> [String] {
  try FileSystem.entries(path).compactMap(\.text).sorted()
}

func readAll(_ path: String) throws -> [UInt8] {
  let file = try FileDescriptor.open(path)
  return try file.bytes(at: 0, count: 1 << 20)
}

func writeAll(_ path: String, _ bytes: [UInt8]) throws {
  let file = try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC)
  try file.write(all: bytes)
}

extension FactoredMatrix {
  /// Q as an array, (r, r).
  var entries: [Float] {
    let scratch = Scratch()
    return withExtendedLifetime(scratch) {
      unsafe Array(UnsafeBufferPointer(start: q(scratch, slot: 0), count: rank * rank))
    }
  }
}
