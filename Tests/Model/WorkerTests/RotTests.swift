import Digests
import Glibc
import ModelSamples
import Multipliers
import Settings
import StrictJSON
import SystemSupport
import Testing
import WorkerProtocol

/// What the disk does to what the worker reads: an expert, a task, the factorization and a training's state. Nothing is
/// computed with it; what can be made anew is, and the numbers are those of an undamaged run.
@Suite struct RotTests {
  private func rewritten(_ path: String, _ change: (inout [UInt8]) -> Void) throws {
    var bytes = try FileSystem.readAll(path, maximumBytes: 1 << 24)
    change(&bytes)
    try FileSystem.writeAtomically(path, bytes)
  }

  /// In place, as the disk does it, so that what has the file mapped sees it.
  private func flip(_ path: String, at offset: Int, bit: Int = 0) throws {
    let file = try FileDescriptor.open(path, O_RDWR)
    var byte = try file.bytes(at: offset, count: 1)[0] ^ 1 << UInt8(bit)
    #expect(unsafe pwrite(file.number, &byte, 1, off_t(offset)) == 1)
  }

  // MARK: - Experts and tasks

  @Test func aDamagedExpertIsNamedAndNothingIsComputedWithIt() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let spec = try WorkerServiceTests.adapt(model, iterations: 1, eval: 0)
      let path = spec.experts[0].path
      let good = try FileSystem.readAll(path, maximumBytes: 1 << 20)
      var cases = 0
      func check(_ what: String) throws {
        // A new worker: one that has read it keeps what it has read, which was good.
        let fault = try TestWorker(threads: 1).run(spec).ending.fault()
        #expect(fault.kind == .damaged && fault.file == path, "\(what): \(fault)")
        #expect(fault.message.contains("what is stored of 'one@1' is damaged"), "\(fault.message)")
        #expect((try FileSystem.status(spec.vectorsPath)) == nil)
        try FileSystem.writeAtomically(path, good)
        cases += 1
      }
      for offset in stride(from: 0, to: good.count, by: good.count / 11) {
        try flip(path, at: offset, bit: offset % 8)
        try check("a bit at \(offset)")
      }
      for count in [0, 7, good.count / 2, good.count - 1] {
        try FileSystem.writeAtomically(path, Array(good.prefix(count)))
        try check("cut to \(count)")
      }
      try FileSystem.writeAtomically(path, good + [0])
      try check("longer")
      try FileSystem.remove(path)
      try check("deleted")
      print("rot, an expert that the worker reads: \(cases) cases")
      #expect(cases >= 17)
    }
  }

  @Test func aDamagedTaskIsNamedAndNotSearched() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      var spec = try WorkerServiceTests.adapt(model, iterations: 1)
      let place = spec.task.path
      let files = ["fewshot.jsonl", "eval.jsonl"]
      spec.task.files = try files.map { name in
        let bytes = try FileSystem.readAll("\(place)/\(name)", maximumBytes: 1 << 20)
        return TaskReference.File(name: "letters/\(name)", digest: SHA256.digest(bytes).description)
      }
      let worker = try TestWorker(threads: 1)
      #expect(try AdaptResult(decoding: worker.run(spec).ending.result()).vectorsDigest != nil)
      var cases = 0
      func check(_ what: String) throws {
        let fault = try worker.run(spec).ending.fault()
        #expect(fault.kind == .damaged && fault.file == place, "\(what): \(fault)")
        cases += 1
      }
      for name in files {
        let path = "\(place)/\(name)"
        let good = try FileSystem.readAll(path, maximumBytes: 1 << 20)
        // Into a row's text, so that it still reads; and where it does not.
        for offset in [0, 30, good.count / 2, good.count - 2] {
          try flip(path, at: offset)
          try check("\(name), a bit at \(offset)")
          try FileSystem.writeAtomically(path, good)
        }
        let firstRow = try #require(good.firstIndex(of: 0x0a)) + 1
        for count in [0, firstRow, good.count - 1] {
          try FileSystem.writeAtomically(path, Array(good.prefix(count)))
          try check("\(name), cut to \(count)")
        }
        try FileSystem.remove(path)
        try check("\(name), deleted")
        try FileSystem.writeAtomically(path, good)
      }
      try FileSystem.writeAtomically(place + "/train.jsonl", [])
      try check("a file that was not stored")
      print("rot, a task that the worker reads: \(cases) cases")
      #expect(cases == 17)
    }
  }

  // MARK: - The factorization

  /// Each area of the file, damaged before a worker starts and while one has it mapped.
  @Test func aDamagedFactorizationIsMadeAnewAndTheNumbersAreRight() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      var spec = try WorkerServiceTests.adapt(model, iterations: 1, eval: 0)
      let first = try TestWorker(threads: 1)
      let facts = try ModelFacts(
        decoding: first.run(InspectSpec(path: model.path, cacheDirectory: model.reference.cacheDirectory)).ending
          .result())
      spec.model.digest = facts.digest
      let name = MultiplierLayout(facts.targets).factorizationFileName(ofModel: facts.digest)
      let path = "\(model.reference.cacheDirectory)/\(name)"
      let good = try FileSystem.readAll(path, maximumBytes: 1 << 24)
      let expected = try WorkerServiceTests.timeless(try first.run(spec).ending)
      #expect(first.remade.isEmpty)

      // As `FactorizationFile` lays it out: a header of a page, checksums, σ of all matrices, then Q and product of each.
      func aligned(_ value: Int) -> Int { (value + 63) / 64 * 64 }
      let targets = SyntheticModel.targets
      let sums = 4096
      let sigma = aligned(sums + 8 * targets.count)
      let q = aligned(sigma + 4 * targets.reduce(0) { $0 + $1.rank })
      let product = aligned(q + 4 * targets[0].rank * targets[0].rank)
      let areas = [
        ("its name", 0), ("its version", 8), ("header", 40), ("the header's zeros", 4090), ("checksum", sums + 3),
        ("σ", sigma), ("σ, the last", q - 70), ("Q", q + 17), ("A", product + 17),
        ("the last product", good.count - 4096),
      ].filter { $0.1 < good.count }
      var cases = 0
      func check(_ worker: TestWorker, _ what: String, isSaid: Bool = true) throws {
        let before = worker.remade.count
        let result = try WorkerServiceTests.timeless(try worker.run(spec).ending)
        #expect(result.alpha == expected.alpha && result.scores == expected.scores, "\(what)")
        #expect(worker.remade.count == before + (isSaid ? 1 : 0), "\(what)")
        #expect(try FileSystem.readAll(path, maximumBytes: 1 << 24) == good, "\(what): made anew")
        cases += 1
      }
      for (what, offset) in areas {
        try flip(path, at: offset, bit: 6)
        try check(try TestWorker(threads: 1), "\(what), before a start")
      }
      let running = try TestWorker(threads: 1)
      try check(running, "undamaged", isSaid: false)
      // What lies in the header is read at a load only; a worker that has the arrays needs it no more.
      for (what, offset) in areas where offset >= sums {
        try flip(path, at: offset, bit: 6)
        try check(running, "\(what), while it is mapped")
      }
      for (what, bytes) in [
        ("empty", []), ("a header alone", Array(good.prefix(4096))), ("cut", Array(good.dropLast(4096))),
        ("garbage", good.map { ~$0 }), ("zeros", [UInt8](repeating: 0, count: good.count)),
        ("longer", good + [0]),
      ] as [(String, [UInt8])] {
        try FileSystem.writeAtomically(path, bytes)
        try check(try TestWorker(threads: 1), what)
      }
      try FileSystem.remove(path)
      try check(try TestWorker(threads: 1), "deleted")
      // One that an older t2d has written is remade too.
      try rewritten(path) { $0[8] = 1 }
      try check(try TestWorker(threads: 1), "version 1")
      print("rot, the factorization: \(cases) cases")
      #expect(cases >= 24)
    }
  }

  /// A short answer is not computed with it either.
  @Test func aScoreAfterTheFactorizationWasDamagedIsRight() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker(threads: 1)
      let call = WorkerCall.score(
        ScoreCall(
          model: model.reference, prompt: .text("ab"), continuation: .text("cd"),
          weights: .expert(try model.expert("one", seed: 11), rescale: .none)))
      let expected = try worker.answer(call).get()
      let cache = model.reference.cacheDirectory
      let path = try cache + "/" + #require(FileSystem.entries(cache).first?.text)
      let count = try FileSystem.readAll(path, maximumBytes: 1 << 24).count
      for offset in [count / 3, count / 2, count - 4096] {
        try flip(path, at: offset, bit: 6)
        #expect(try worker.answer(call).get() == expected)
      }
    }
  }

  // MARK: - A training's state

  @Test func aDamagedStateOfATrainingIsNotGoneOnWith() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let spec = try TrainJobTests.spec(model)
      let whole = try TestWorker(threads: 1).run(spec)
      let expected = try whole.ending.timeless()
      let bytes = try FileSystem.readAll(spec.expertPath, maximumBytes: 1 << 20)
      let state = try FileSystem.readAll(spec.statePath, maximumBytes: 1 << 20)
      var cases = 0
      func check(_ what: String, isSaid: Bool = true) throws {
        let worker = try TestWorker(threads: 1)
        let resumed = try worker.run(spec, journal: Array(whole.journal.prefix(3)))
        #expect(worker.remade.map(\.what) == (isSaid ? [.training] : []), "\(what): \(worker.remade)")
        #expect(try resumed.ending.timeless() == expected, "\(what)")
        #expect(try FileSystem.readAll(spec.expertPath, maximumBytes: 1 << 20) == bytes, "\(what)")
        cases += 1
      }
      for offset in stride(from: 9, to: state.count, by: state.count / 9) {
        try FileSystem.writeAtomically(spec.statePath, state)
        try flip(spec.statePath, at: offset, bit: 6)
        try check("a bit at \(offset) of \(state.count)")
      }
      for count in [0, 100, state.count - 1] {
        try FileSystem.writeAtomically(spec.statePath, Array(state.prefix(count)))
        try check("cut to \(count)")
      }
      try FileSystem.remove(spec.statePath)
      try check("deleted", isSaid: false)
      print("rot, the state of a training: \(cases) cases")
      #expect(cases >= 12)
    }
  }
}
