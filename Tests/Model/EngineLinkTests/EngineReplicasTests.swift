import Digests
import EngineLink
import FakeEngine
import Settings
import SystemSupport
import Testing

@Suite struct EngineReplicasTests {
  private static func connect(
    _ engines: [FakeEngine], _ policy: ReplicaPolicy = .quick
  ) throws -> EngineReplicas {
    try EngineReplicas.connect(try addresses(engines), policy: policy, patience)
  }

  @Test(arguments: [1, 2, 3]) func scoresDoNotDependOnTheNumberOfReplicas(count: Int) throws {
    let model = FakeModel()
    try withEngines(count, model) { engines throws in
      let replicas = try Self.connect(engines)
      let units = model.units(40)
      #expect(try replicas.score(units, patience) == units.map { model.scores($0) })
      #expect(engines.reduce(0) { $0 + $1.count("POST", "/t2/score") } == 40)
      #expect(replicas.states.allSatisfy { $0.condition == .ready && $0.lastFailure == nil })
      // Every mixture went to a replica once.
      for engine in engines { #expect(engine.count("PUT", "/t2/mixtures/") == engine.mixtures.count) }
      #expect(try replicas.score([], patience).isEmpty)
    }
  }

  @Test(arguments: [
    FakeFault.closesBeforeAnswer, .cutInBody, .wrongLength(by: 5), .raw(Array("SSH-2.0\r\n".utf8)), .endlessHead,
    .body(count: 8 << 20), .raw(Array("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]".utf8)),
    .error(status: 500, code: "dead"), .error(status: 503, code: "overloaded"), .error(status: 500, code: "internal"),
    .error(status: 503, code: "not_ready"), .forgetsMixtures,
  ])
  func whatFailsHereIsComputedThere(fault: FakeFault) throws {
    let model = FakeModel()
    try withEngines(2, model) { engines throws in
      let replicas = try Self.connect(engines)
      engines[0].misbehave(fault, on: "/t2/score", after: 2, times: 2)
      let units = model.units(12)
      #expect(try replicas.score(units, patience) == units.map { model.scores($0) })
    }
  }

  @Test func anEngineThatSaysNothingIsLeftForAnother() throws {
    let model = FakeModel()
    try withEngines(2, model) { engines throws in
      var policy = ReplicaPolicy.quick
      policy.longRequest = .milliseconds(500)
      let replicas = try Self.connect(engines, policy)
      engines[0].misbehave(.silence, on: "/t2/score")
      let units = model.units(8)
      #expect(try replicas.score(units, patience) == units.map { model.scores($0) })
      #expect(engines[0].sawHangUps(1))
      #expect(replicas.states[0].lastFailure?.description.contains("no whole answer within 500 ms") == true)
    }
  }

  @Test func oneOfThreeThatDiesInTheMiddleChangesNothing() throws {
    let model = FakeModel()
    try withEngines(3, model) { engines throws in
      let replicas = try Self.connect(engines)
      engines[1].misbehave(.dies, on: "/t2/score", after: 3)
      let units = model.units(60)
      #expect(try replicas.score(units, patience) == units.map { model.scores($0) })
      guard case .dead = replicas.states[1].condition else {
        Issue.record("replica 1 is \(replicas.states[1])")
        return
      }
      // It comes back, without the mixtures that it had.
      try engines[1].restart()
      let before = engines[1].count("POST", "/t2/score")
      #expect(replicas.look(patience).map(\.condition) == [.ready, .ready, .ready])
      #expect(try replicas.score(units, patience) == units.map { model.scores($0) })
      #expect(engines[1].count("POST", "/t2/score") > before)
    }
  }

  @Test func theOnlyOneMayComeBackWhileItIsWaitedFor() throws {
    let model = FakeModel()
    try withEngines(1, model) { engines throws in
      var policy = ReplicaPolicy.quick
      policy.waitForReplica = .seconds(30)
      let replicas = try Self.connect(engines, policy)
      engines[0].misbehave(.dies, on: "/t2/score", after: 3)
      let units = model.units(10)
      let restarter = try OwnedThread(name: "restarts") {
        // The fourth is what it died of.
        if engines[0].saw(4, of: "/t2/score") { try? engines[0].restart() }
      }
      defer { restarter.join() }
      #expect(try replicas.score(units, patience) == units.map { model.scores($0) })
    }
  }

  @Test func whereAllAreDeadEachIsNamedWithItsLastFailure() throws {
    let model = FakeModel()
    try withEngines(2, model) { engines throws in
      let replicas = try Self.connect(engines)
      engines[0].stop()
      engines[1].misbehave(.error(status: 500, code: "dead"), on: "/t2/", times: 1000)
      let error = try error { try replicas.score(model.units(4), patience) }
      guard case .noReplica = error else { throw error }
      let text = error.description
      #expect(text.hasPrefix("cannot score 4 units: no engine of the model is ready; \(engines[0].address) is dead: "))
      #expect(text.contains("there is no such socket") && text.contains("; \(engines[1].address) is dead: "))
      #expect(text.contains("500 dead"))
      #expect(throws: ReplicasError.self) { try replicas.sigma(patience) }
    }
  }

  @Test func aUnitThatFailsEverywhereIsGivenUp() throws {
    let model = FakeModel()
    try withEngines(2, model) { engines throws in
      let replicas = try Self.connect(engines)
      for engine in engines { engine.misbehave(.error(status: 500, code: "internal"), on: "/t2/score", times: 1000) }
      let error = try error { try replicas.score(model.units(1), patience) }
      guard case .gaveUp(let failures) = error else { throw error }
      #expect(failures.count == 4)
      #expect(Set(failures.map(\.address)) == Set(replicas.addresses))
    }
  }

  @Test func whatNoReplicaWouldAnswerIsAskedOnce() throws {
    let model = FakeModel()
    try withEngines(3, model) { engines throws in
      let replicas = try Self.connect(engines)
      let long = EngineItem(prompt: [Int32](repeating: 1, count: 64), continuations: [[1]])
      var units = model.units(20)
      units[7].append(long)
      units[11].append(EngineItem(prompt: [99], continuations: [[1]]))
      let error = try error { try replicas.score(units, patience) }
      guard case .failed(let failure) = error, case .refused(let refusal) = failure.cause else { throw error }
      #expect(refusal.code == .tooLong, "the first unit's, whoever was quicker")
      #expect(replicas.states.allSatisfy { $0.condition == .ready })
    }
  }

  @Test(arguments: [FakeFault.answersForBase, .otherReadBack])
  func numbersOfAnotherMixtureAreNeverReturned(fault: FakeFault) throws {
    let model = FakeModel()
    try withEngines(2, model) { engines throws in
      let replicas = try Self.connect(engines)
      engines[1].misbehave(fault, on: "/t2/score", times: 1000)
      engines[0].misbehave(.error(status: 500, code: "dead"), on: "/t2/", times: 1000)
      let error = try error { try replicas.score(model.units(8), patience) }
      guard case .failed(let failure) = error, case .wrongMixture = failure.cause else { throw error }
      #expect(failure.address.text == engines[1].address)
    }
  }

  @Test func anEngineThatKeepsFewMixturesIsGivenThemAgain() throws {
    var model = FakeModel()
    model.mixturesKept = 3
    try withEngines(2, model) { engines throws in
      var policy = ReplicaPolicy.quick
      // Two at a time would drive out each other's.
      policy.requestsInFlight = 1
      let replicas = try Self.connect(engines, policy)
      let units = (0..<12).map { unit in
        (0..<2).map { EngineItem(prompt: [1], continuations: [[3, 4]], mixture: model.mixture(unit % 6 + $0)) }
      }
      #expect(try replicas.score(units, patience) == units.map { model.scores($0) })
      #expect(engines.contains { $0.count("PUT", "/t2/mixtures/") > $0.mixtures.count })
    }
  }

  @Test func aSearchCanBeStopped() throws {
    let model = FakeModel()
    try withEngines(2, model) { engines throws in
      let replicas = try Self.connect(engines)
      for engine in engines { engine.misbehave(.silence, on: "/t2/score", times: 1000) }
      let stops = Patience(until: .never) { engines.allSatisfy { $0.count("POST", "/t2/score") == 2 } }
      #expect(try error { try replicas.score(model.units(10), stops) } == .stopped)
      #expect(engines.allSatisfy { $0.sawHangUps(2) })
      #expect(replicas.states.allSatisfy { $0.condition == .ready })
      for engine in engines { engine.behave() }
      #expect(try replicas.score(model.units(3), patience).count == 3)
    }
  }

  @Test func aCallerWhoseTimeIsUpIsToldSo() throws {
    let model = FakeModel()
    try withEngines(1, model) { engines throws in
      let replicas = try Self.connect(engines)
      engines[0].misbehave(.silence, on: "/t2/", times: 1000)
      for call in [
        { () throws -> Void in _ = try replicas.score(model.units(2), Patience(.milliseconds(80))) },
        { _ = try replicas.logits([1], nil, Patience(.milliseconds(80))) },
      ] {
        let error = try error(call)
        guard case .timedOut = error else { throw error }
      }
      #expect(replicas.states[0].condition == .ready, "it was not the replica's time")
    }
  }

  // MARK: - Single calls

  @Test func singleCallsGoOnElsewhereToo() throws {
    let model = FakeModel()
    try withEngines(2, model) { engines throws in
      let replicas = try Self.connect(engines)
      let mixture = model.mixture(1)
      for path in ["/t2/sigma", "/t2/files/", "/t2/logits", "/t2/gradient", "/t2/generate"] {
        engines[0].misbehave(.closesBeforeAnswer, on: path, times: 2)
      }
      #expect(try replicas.sigma(patience).count == 16)
      #expect(try replicas.file("config.json", patience) == model.files[0].bytes)
      #expect(try replicas.file("none", patience) == nil)
      #expect(
        try replicas.logits([1], mixture, patience) == (0..<50).map { model.logprob([1], $0, mixture.multipliers) })
      let items = [EngineItem(prompt: [1], continuations: [[3]])]
      #expect(
        try replicas.gradient(GradientRequest(items: items, mixture: mixture, derivatives: [[[1]]]), patience)
          .multipliers
          == FakeModel.slope(3, mixture.multipliers))
      let stream = try replicas.generate(
        GenerationCall(prompt: [1], mixture: mixture, maximumTokens: 3, stopIDs: []), patience)
      var tokens = 0
      while case .token? = try stream.next(until: .after(.seconds(30))) { tokens += 1 }
      #expect(tokens == 3)
      replicas.delete(mixture.digest, patience)
      #expect(engines.allSatisfy { $0.mixtures.isEmpty })
    }
  }

  @Test func manyThreadsMayCallAtOnce() throws {
    let model = FakeModel()
    try withEngines(2, model) { engines throws in
      let replicas = try Self.connect(engines)
      engines[0].misbehave(.dies, on: "/t2/score", after: 20)
      let units = model.units(12)
      let right = Monitor(0)
      let threads = try (0..<6).map { number in
        try OwnedThread(name: "caller \(number)") {
          let scores = try? replicas.score(units, patience)
          let logits = try? replicas.logits([Int32(number)], model.mixture(number), patience)
          let isRight =
            scores == units.map { model.scores($0) }
            && logits == (0..<50).map { model.logprob([Int32(number)], $0, model.vector(number)) }
          right.withLock { $0 += isRight ? 1 : 0 }
        }
      }
      for thread in threads { thread.join() }
      #expect(right.read { $0 } == 6)
    }
  }

  // MARK: - Connecting

  @Test func twoModelsAreNotReplicas() throws {
    try withEngines(2) { engines throws in
      var other = FakeModel()
      other.digest = SHA256.digest([9]).description
      try engines[1].restart(other)
      let error = try error { try Self.connect(engines) }
      #expect(
        error.description.hasPrefix("'\(engines[1].address)' and '\(engines[0].address)' cannot be used as one model: ")
      )
      #expect(error.description.contains(other.digest) && error.description.contains(FakeModel().digest))
    }
  }

  @Test func anEngineThatCameBackAsAnotherIsNotUsed() throws {
    let model = FakeModel()
    try withEngines(2, model) { engines throws in
      let replicas = try Self.connect(engines)
      var other = model
      other.digest = SHA256.digest([9]).description
      try engines[1].restart(other)
      let units = model.units(30)
      #expect(try replicas.score(units, patience) == units.map { model.scores($0) })
      #expect(engines[1].count("POST", "/t2/score") == 0)
      _ = replicas.look(patience)
      #expect(replicas.states[1].description.contains("is dead: cannot"))
      #expect(replicas.states[1].description.contains(other.digest))
    }
  }

  @Test func oneThatIsNotThereIsAskedLater() throws {
    let model = FakeModel()
    try withEngines(2, model) { engines throws in
      engines[0].stop()
      let replicas = try Self.connect(engines)
      #expect(replicas.states[0].lastFailure?.cause == .noSocket)
      #expect(replicas.states[1].condition == .ready)
      try engines[0].restart()
      #expect(replicas.look(patience).map(\.condition) == [.ready, .ready])
      let units = model.units(20)
      #expect(try replicas.score(units, patience) == units.map { model.scores($0) })
      #expect(engines[0].count("POST", "/t2/score") > 0)
    }
  }

  @Test func whereNoneIsThereEachIsNamed() throws {
    try withEngines(2) { engines throws in
      for engine in engines { engine.stop() }
      let error = try error { try Self.connect(engines) }
      for engine in engines { #expect(error.description.contains("\(engine.address) is dead: ")) }
    }
  }

  @Test func oneThatIsStartingIsWaitedForAndSaysHowFarItIs() throws {
    try withEngines(1) { engines throws in
      for progress in [0.25, 0.5] {
        engines[0].misbehave(
          .error(status: 503, code: "not_ready", message: "reads weights", progress: progress), on: "/t2/facts")
      }
      var seen: [ReplicaState.Condition] = []
      let replicas = try EngineReplicas.connect(try addresses(engines), policy: .quick, patience) {
        seen.append($0[0].condition)
      }
      #expect(seen == [0.25, 0.5].map { .starting(message: "reads weights", progress: $0) })
      #expect(replicas.states[0].condition == .ready)
      engines[0].misbehave(.error(status: 503, code: "not_ready"), on: "/t2/facts", times: 1000)
      let late = try error {
        try EngineReplicas.connect(try addresses(engines), policy: .quick, Patience(.seconds(2)))
      }
      #expect(late.description.contains("is starting: as the test wants it"))
    }
  }

  @Test func anotherVersionOfTheProtocolIsSaidAtOnce() throws {
    var model = FakeModel()
    model.protocolVersion = 3
    try withEngines(1, model) { engines throws in
      let error = try error { try Self.connect(engines) }
      guard case .failed(let failure) = error else { throw error }
      #expect(failure.cause == .otherProtocol(found: 3))
    }
  }
}
