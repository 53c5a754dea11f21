import Digests
import EngineLink
import FakeEngine
import Glibc
import Settings
import SystemSupport
import Testing

/// The calls, as they should go.
@Suite struct EngineConnectionTests {
  @Test func scoresAreTheEnginesToTheBit() throws {
    var model = FakeModel()
    // Numbers with all digits of a float, and small ones.
    model.logprob = { before, token, s in
      FakeModel.likelihood(before, token) + FakeModel.bonus(token, s) - Float(before.count) * 1e-7 - 1e-30
    }
    try withEngine(model) { engine, connection throws in
      let items = model.units(4).flatMap(\.self)
      for mixture in Set(items.compactMap(\.mixture?.digest)) {
        let vector = try #require(items.compactMap(\.mixture).first { $0.digest == mixture })
        try connection.put(vector, patience)
      }
      #expect(try connection.score(items, patience) == model.scores(items))
      #expect(engine.mixtures == Set(items.compactMap(\.mixture?.digest)))
      #expect(Set(engine.requests.map(\.connection)) == [0])
    }
  }

  @Test func everyFloatSurvivesInItsShortestDecimal() throws {
    var bits: UInt32 = 12345
    var values: [Float] = [-0.0, -Float.leastNonzeroMagnitude, -Float.greatestFiniteMagnitude, -0.1, -1]
    while values.count < 20_000 {
      bits = bits &* 1_664_525 &+ 1_013_904_223
      let value = -abs(Float(bitPattern: bits))
      if value.isFinite { values.append(value) }
    }
    let texts = [values.map(\.description), values.map { Double($0).description }]
    for text in texts {
      let body = #"{"scores":[[["# + text.joined(separator: ", ") + #"]]],"mixtures":{}}"#
      let read = try AnsweredScores([[values.count]], [], ranks: 1).read(Array(body.utf8))
      #expect(read[0][0].map(\.bitPattern) == values.map(\.bitPattern))
    }
  }

  @Test func aScoreThatIsNotFiniteIsNaN() throws {
    var model = FakeModel()
    model.logprob = { _, token, _ in token == 4 ? -.infinity : -1 }
    try withEngine(model) { _, connection throws in
      let scores = try connection.score([EngineItem(prompt: [1], continuations: [[3, 4], [5]])], patience)
      #expect(scores[0][0][0] == -1 && scores[0][0][1].isNaN && scores[0][1] == [-1])
    }
  }

  @Test func aProbabilityAboveOneIsRefused() throws {
    var model = FakeModel()
    model.logprob = { _, _, _ in 0.5 }
    try withEngine(model) { _, connection throws in
      let failure = try failure { try connection.score([EngineItem(prompt: [1], continuations: [[3]])], patience) }
      #expect(failure.description.contains("'scores[0][0][0]' is 0.5, and the logarithm of a probability is at most 0"))
    }
  }

  @Test func logitsAreThoseOfTheMixture() throws {
    let model = FakeModel()
    try withEngine(model) { _, connection throws in
      let mixture = model.mixture(2)
      try connection.put(mixture, patience)
      for (vector, s) in [(mixture, mixture.multipliers), (nil, [Float](repeating: 1, count: model.multiplierCount))] {
        let logits = try connection.logits([4, 5], vector, patience)
        #expect(logits == (0..<50).map { model.logprob([4, 5], $0, s) })
      }
    }
  }

  @Test func theGradientIsTheEngines() throws {
    let model = FakeModel()
    try withEngine(model) { _, connection throws in
      let mixture = model.mixture(3)
      try connection.put(mixture, patience)
      let items = [
        EngineItem(prompt: [1, 2], continuations: [[3, 4], [5]]), EngineItem(prompt: [6], continuations: [[7]]),
      ]
      let derivatives: [[[Float]]] = [[[0.1, -1e-7], [3]], [[0]]]
      let gradient = try connection.gradient(
        GradientRequest(items: items, mixture: mixture, divergence: .paper, derivatives: derivatives), patience)
      var expected = [Float](repeating: 0, count: model.multiplierCount)
      for (weight, token) in [(Float(0.1), Int32(3)), (-1e-7, 4), (3, 5), (0, 7)] {
        for (place, slope) in FakeModel.slope(token, mixture.multipliers).enumerated() {
          expected[place] += weight * slope
        }
      }
      #expect(gradient.multipliers == expected)
      #expect(
        gradient.scores
          == model.scores(
            items.map { EngineItem(prompt: $0.prompt, continuations: $0.continuations, mixture: mixture) }))
      #expect(gradient.divergences?.map(\.count) == [2, 1])
      let scores = try connection.gradient(GradientRequest(items: items, mixture: nil), patience)
      #expect(scores.multipliers == nil && scores.divergences == nil && scores.scores == model.scores(items))
    }
  }

  @Test func aDerivativeThatIsNotFiniteIsNotSent() throws {
    try withEngine { engine, connection throws in
      let request = GradientRequest(
        items: [EngineItem(prompt: [1], continuations: [[3]])], mixture: nil, derivatives: [[[.infinity]]])
      #expect(
        try failure { try connection.gradient(request, patience) }.description.contains("the training has diverged"))
      #expect(engine.count("POST", "/t2/gradient") == 0)
    }
  }

  @Test func filesAndSingularValuesAreRead() throws {
    var model = FakeModel()
    model.files.append(("tokenizer.json", (0..<200_000).map { UInt8(truncatingIfNeeded: $0) }))
    try withEngine(model) { _, connection throws in
      #expect(try connection.file("tokenizer.json", patience) == model.files[1].bytes)
      #expect(try connection.file("chat_template.jinja", patience) == nil)
      #expect(try connection.sigma(patience) == Array(repeating: [32, 31, 30, 29], count: 4).flatMap(\.self))
    }
  }

  @Test func aMixtureCanBeTakenBack() throws {
    let model = FakeModel()
    try withEngine(model) { engine, connection throws in
      try connection.put(model.mixture(1), patience)
      #expect(engine.mixtures == [model.mixture(1).digest])
      try connection.delete(model.mixture(1).digest, patience)
      try connection.delete(model.mixture(1).digest, patience)
      #expect(engine.mixtures.isEmpty)
    }
  }

  @Test func whatTheFactsDenyIsNotAsked() throws {
    var model = FakeModel()
    (model.gradients, model.logits, model.generates, model.mixtures) = (false, false, false, 2)
    try withEngine(model) { engine, connection throws in
      let item = EngineItem(prompt: [1], continuations: [[3]])
      let items = (1...3).map { EngineItem(prompt: [1], continuations: [[3]], mixture: model.mixture($0)) }
      #expect(
        try failure { try connection.score(items, patience) }.description.contains("more than the 2 that it takes"))
      #expect(
        try failure { try connection.gradient(GradientRequest(items: [item], mixture: nil), patience) }.description
          .contains("computes no gradients"))
      #expect(try failure { try connection.logits([1], nil, patience) }.description.contains("gives no logits"))
      #expect(
        try failure { try connection.generate(GenerationCall(prompt: [1], maximumTokens: 1, stopIDs: []), patience) }
          .description.contains("generates nothing"))
      #expect(engine.requests.map(\.path) == ["/t2/facts"])
    }
  }

  @Test func aPortOfThisMachineIsSpokenWithToo() throws {
    let model = FakeModel()
    let engine = try FakeEngine(.loopback(isIPv6: false), model)
    defer { engine.stop() }
    let port = try #require(engine.address.split(separator: ":").last)
    for text in [engine.address, "http://localhost:\(port)"] {
      let connection = EngineConnection(try EngineAddress(text: text))
      #expect(try connection.score(model.units(1)[0].filter { $0.mixture == nil }, patience).isEmpty == false)
    }
  }

  @Test(.enabled("this machine has an IPv6 loopback") { (try? FakeEngine(.loopback(isIPv6: true)))?.stop() != nil })
  func localhostIsTheOtherAddressWhereNobodyListensAtTheFirst() throws {
    let engine = try FakeEngine(.loopback(isIPv6: true))
    defer { engine.stop() }
    let port = try #require(engine.address.split(separator: ":").last)
    for text in [engine.address, "http://localhost:\(port)"] {
      #expect(try EngineConnection(try EngineAddress(text: text)).askFacts(patience).engine.name == "fake")
    }
  }
}

/// One test for each thing that goes wrong.
@Suite struct EngineFailureTests {
  private static let item = EngineItem(prompt: [1], continuations: [[3, 4]])

  private static func failing(_ address: String) throws -> String {
    let address = try EngineAddress(text: address)
    let failure = try failure { try EngineConnection(address).askFacts(Patience(.seconds(5))) }
    #expect(failure.address == address)
    #expect(failure.description.hasPrefix("cannot ask for the facts at \(address.text): "))
    return failure.description
  }

  @Test func aSocketThatIsNotThereIsSaid() throws {
    try withTemporaryDirectory { directory throws in
      #expect(try Self.failing("unix:\(directory)/none").contains("there is no such socket; start the engine"))
      #expect(try Self.failing("unix:\(directory)/none/none").contains("there is no such socket"))
    }
  }

  @Test func aFileThatIsNoSocketIsSaid() throws {
    try withTemporaryDirectory { directory throws in
      try FileSystem.writeAtomically("\(directory)/file", [1], mode: 0o600)
      #expect(try Self.failing("unix:\(directory)/file").contains("the file there is not a socket"))
      #expect(try Self.failing("unix:\(directory)").contains("the file there is not a socket"))
    }
  }

  @Test func aSocketThatNobodyListensAtIsSaid() throws {
    try withTemporaryDirectory { directory throws in
      let engine = try FakeEngine(.unix(path: "\(directory)/e"))
      try FileSystem.rename("\(directory)/e", to: "\(directory)/left")
      engine.stop()
      #expect(try Self.failing("unix:\(directory)/left").contains("nobody listens there"))
    }
    let engine = try FakeEngine(.loopback(isIPv6: false))
    engine.stop()
    #expect(try Self.failing(engine.address).contains("nobody listens there"))
    let port = try #require(engine.address.split(separator: ":").last)
    #expect(try Self.failing("http://localhost:\(port)").contains("nobody listens there"))
  }

  @Test(arguments: [
    ("dead", 500, "500 dead: as the test wants it; start it again"), ("overloaded", 503, "503 overloaded"),
    ("not_ready", 503, "503 not_ready: as the test wants it (25 %); wait"),
    ("out_of_memory", 507, "507 out_of_memory"), ("not_armed", 500, "500 not_armed"),
    ("unheard_of", 500, "the engine answers 500: as the test wants it"),
  ])
  func anErrorOfTheEngineIsItsOwnWords(code: String, status: Int, text: String) throws {
    try withEngine { engine, connection throws in
      engine.misbehave(
        .error(status: status, code: code, progress: code == "not_ready" ? 0.25 : nil), on: "/t2/score")
      let failure = try failure { try connection.score([Self.item], patience) }
      #expect(failure.description.contains("cannot score 1 item at \(engine.address): "))
      #expect(failure.description.contains(text), "\(failure)")
      // The connection is still good.
      #expect(try connection.score([Self.item], patience).count == 1)
      #expect(Set(engine.requests.map(\.connection)) == [0])
    }
  }

  @Test func anUnknownMixtureIsRefusedAndNothingElse() throws {
    let model = FakeModel()
    try withEngine(model) { _, connection throws in
      let item = EngineItem(prompt: [1], continuations: [[3]], mixture: model.mixture(1))
      let failure = try failure { try connection.score([item], patience) }
      guard case .refused(let refusal) = failure.cause else { throw failure }
      #expect(refusal.code == .unknownMixture && refusal.status == 404)
    }
  }

  @Test func aBodyThatIsCutIsNotUsed() throws {
    try withEngine { engine, connection throws in
      engine.misbehave(.cutInBody, on: "/t2/score")
      let failure = try failure { try connection.score([Self.item], patience) }
      #expect(failure.description.contains("the engine closed the connection before its answer was whole, of which"))
      #expect(try connection.score([Self.item], patience).count == 1)
    }
  }

  @Test func aContentLengthThatIsTooShortIsNotUsed() throws {
    try withEngine { engine, connection throws in
      engine.misbehave(.wrongLength(by: -3), on: "/t2/score")
      // What is missing is no JSON, and what is left follows behind the end.
      let failure = try failure { try connection.score([Self.item], Patience(.seconds(5))) }
      #expect(failure.description.contains("follow behind the end of the answer"), "\(failure)")
    }
  }

  @Test func aContentLengthThatIsTooLongIsNotUsed() throws {
    try withEngine { engine, connection throws in
      engine.misbehave(.wrongLength(by: 3), on: "/t2/score")
      let failure = try failure { try connection.score([Self.item], patience) }
      #expect(failure.description.contains("closed the connection before its answer was whole"), "\(failure)")
    }
  }

  @Test func anEngineThatSaysNothingIsWaitedForUntilTheDeadline() throws {
    try withEngine { engine, connection throws in
      try connection.askFacts(patience)
      engine.misbehave(.silence, on: "/t2/score")
      let begin = MonotonicInstant.now
      let failure = try failure { try connection.score([Self.item], Patience(.milliseconds(120))) }
      #expect(failure.description.contains("no whole answer within 120 ms, of which nothing came"), "\(failure)")
      #expect(MonotonicInstant.now - begin >= .milliseconds(120))
      #expect(engine.sawHangUps(1))
    }
  }

  @Test func whoeverWaitsMayStopIt() throws {
    try withEngine { engine, connection throws in
      try connection.askFacts(patience)
      engine.misbehave(.silence, on: "/t2/score")
      let begin = MonotonicInstant.now
      var questions = 0
      let failure = try failure {
        try connection.score(
          [Self.item],
          Patience(until: .never) {
            questions += 1
            return questions > 4
          })
      }
      #expect(failure.cause == .stopped)
      #expect(MonotonicInstant.now - begin < .seconds(5))
      #expect(engine.sawHangUps(1))
    }
  }

  @Test func anAnswerForTheBaseIsNoAnswerForAMixture() throws {
    let model = FakeModel()
    try withEngine(model) { engine, connection throws in
      let item = EngineItem(prompt: [1], continuations: [[3]], mixture: model.mixture(1))
      try connection.put(model.mixture(1), patience)
      for path in ["/t2/score", "/t2/logits", "/t2/generate"] { engine.misbehave(.answersForBase, on: path) }
      let failures = [
        try failure { try connection.score([item], patience) },
        try failure { try connection.logits([1], model.mixture(1), patience) },
        try failure {
          try connection.generate(
            GenerationCall(prompt: [1], mixture: model.mixture(1), maximumTokens: 1, stopIDs: []), patience)
        },
      ]
      for failure in failures {
        guard case .wrongMixture = failure.cause else { throw failure }
        #expect(failure.description.contains("\(model.mixture(1).digest) was asked for, and was not read back"))
      }
    }
  }

  @Test func oneRankWithAnotherMixtureSpoilsTheAnswer() throws {
    var model = FakeModel()
    model.parallelism = 2
    try withEngine(model) { engine, connection throws in
      let item = EngineItem(prompt: [1], continuations: [[3]], mixture: model.mixture(1))
      engine.misbehave(.otherReadBack, on: "/t2/mixtures")
      engine.misbehave(.otherReadBack, on: "/t2/score")
      let given = try failure { try connection.put(model.mixture(1), patience) }
      #expect(given.description.contains("rank 1 has 'sha256:"))
      try connection.put(model.mixture(1), patience)
      let scored = try failure { try connection.score([item], patience) }
      #expect(scored.description.contains("rank 1 has 'sha256:"))
      #expect(try connection.score([item], patience).count == 1)
    }
  }

  @Test(arguments: [
    (#"{"scores":[[[-1,-2]]]}"#, "does not say which mixtures"),
    (#"{"scores":[[[-1,-2]]],"mixtures":[]}"#, "is an array, and no object"),
    (#"{"scores":[[[-1]]],"mixtures":{}}"#, "'scores[0][0]' has 1 entries, and 2 were asked for"),
    (#"{"scores":[[[-1,-2],[-3]]],"mixtures":{}}"#, "'scores[0]' has 2 entries"),
    (#"{"scores":[],"mixtures":{}}"#, "'scores' has 0 entries"), (#"{"mixtures":{}}"#, "'scores' is missing"),
    (#"{"scores":[[[-1,-1e300]]],"mixtures":{}}"#, "'scores[0][0][1]' is -1e+300"),
    (#"{"scores":[[[-1,"x"]]],"mixtures":{}}"#, "'scores[0][0][1]' is \"x\""),
    (#"{"scores":[[[-1,NaN]]],"mixtures":{}}"#, "it is not JSON"), ("[]", "it is an array, and no object"),
    (#"{"scores":[[[-1,-2]]],"mixtures":{"sha256:00":[]}}"#, "which names no mixture"),
    (
      #"{"scores":[[[-1,-2]]],"mixtures":{"sha256:"# + String(repeating: "00", count: 32) + #"":[]}}"#,
      "which nobody asked for"
    ),
  ])
  func numbersOfAnotherShapeAreNotUsed(body: String, problem: String) throws {
    try withEngine { engine, connection throws in
      let text = "HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n" + body
      engine.misbehave(.raw(Array(text.utf8)), on: "/t2/score")
      let failure = try failure { try connection.score([Self.item], patience) }
      #expect(failure.description.contains(problem), "\(failure)")
    }
  }

  @Test(arguments: [
    ("SSH-2.0-OpenSSH_9.6\r\n", "speaks no HTTP/1.1: it begins with 'S"), ("\u{0}\u{1}\u{2}", "speaks no HTTP/1.1"),
    ("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", "its status is 302"),
    ("HTTP/1.1 404 None\r\nContent-Length: 4\r\n\r\noops", "answers 404 without an error of the protocol: 'oops'"),
  ])
  func whatIsNoEngineIsSaid(bytes: String, problem: String) throws {
    try withEngine { engine, connection throws in
      engine.misbehave(.raw(Array(bytes.utf8)), on: "/t2/facts")
      let failure = try failure { try connection.askFacts(patience) }
      #expect(failure.description.contains(problem), "\(failure)")
    }
  }

  @Test func anEndlessHeadIsRefused() throws {
    try withEngine { engine, connection throws in
      engine.misbehave(.endlessHead, on: "/t2/facts")
      #expect(
        try failure { try connection.askFacts(patience) }.description.contains("its head has more than 32768 bytes"))
    }
  }

  @Test func aBodyBeyondWhatCanComeIsRefusedUnread() throws {
    try withEngine { engine, connection throws in
      engine.misbehave(.body(count: 2 << 20), on: "/t2/score")
      let failure = try failure { try connection.score([Self.item], patience) }
      #expect(failure.description.contains("its body has 2097152 bytes, and at most"), "\(failure)")
    }
  }

  @Test func anotherVersionOfTheProtocolIsRefused() throws {
    var model = FakeModel()
    model.protocolVersion = 2
    try withEngine(model) { _, connection throws in
      #expect(try failure { try connection.askFacts(patience) }.cause == .otherProtocol(found: 2))
    }
  }

  @Test func aFileWithOtherBytesThanTheFactsSayIsRefused() throws {
    try withEngine { engine, connection throws in
      let text = "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{\"model_type\":\"fakf\"}"
      engine.misbehave(.raw(Array(text.utf8)), on: "/t2/files/")
      #expect(
        try failure { try connection.file("config.json", patience) }.description.contains("and by the facts sha256:"))
    }
  }

  @Test func singularValuesOutOfOrderAreRefused() throws {
    try withEngine { engine, connection throws in
      let values = [Double](repeating: 1, count: 15) + [2]
      let bytes = values.flatMap { value in (0..<8).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) } }
      engine.misbehave(.raw(Array("HTTP/1.1 200 OK\r\nContent-Length: 128\r\n\r\n".utf8) + bytes), on: "/t2/sigma")
      let failure = try failure { try connection.sigma(patience) }
      #expect(failure.description.contains("'model.layers.1.mlp.up_proj.weight' do not descend: 2.0 follows 1.0"))
    }
  }

  // MARK: - Kept connections

  @Test func aConnectionThatWasClosedMeanwhileIsMadeAnewWithoutAWord() throws {
    try withEngine { engine, connection throws in
      engine.misbehave(.closesAfterAnswer, on: "/t2/score")
      for _ in 0..<2 { #expect(try connection.score([Self.item], patience).count == 1) }
      // It was closed on the request itself.
      engine.misbehave(.closesBeforeAnswer, on: "/t2/score")
      #expect(try connection.score([Self.item], patience).count == 1)
      #expect(engine.requests.map(\.path).filter { $0 == "/t2/facts" }.count == 3)
    }
  }

  @Test func aNewConnectionThatIsClosedIsNotTriedAgain() throws {
    try withEngine { engine, connection throws in
      try connection.askFacts(patience)
      engine.misbehave(.closesBeforeAnswer, on: "/t2/score", times: 5)
      let failure = try failure { try connection.score([Self.item], patience) }
      #expect(failure.cause == .closed(received: 0))
      #expect(engine.count("POST", "/t2/score") == 2)
    }
  }

  @Test func anEngineThatKeepsNoConnectionIsSpokenWithToo() throws {
    try withEngine { engine, connection throws in
      engine.misbehave(.saysItCloses, on: "/t2/", times: 100)
      for _ in 0..<3 { #expect(try connection.score([Self.item], patience).count == 1) }
    }
  }

  @Test func anotherModelBehindTheSameAddressIsNeverAsked() throws {
    try withEngine { engine, connection throws in
      #expect(try connection.score([Self.item], patience).count == 1)
      var other = FakeModel()
      other.digest = SHA256.digest([1]).description
      try engine.restart(other)
      let failure = try failure { try connection.score([Self.item], patience) }
      guard case .otherFacts = failure.cause else { throw failure }
      #expect(failure.description.contains(FakeModel().digest) && failure.description.contains(other.digest))
      #expect(engine.count("POST", "/t2/score") == 1)
      // And again, since it is still another.
      #expect(throws: EngineFailure.self) { try connection.score([Self.item], patience) }
      #expect(engine.count("POST", "/t2/score") == 1)
    }
  }

  @Test func aLargeRequestAndALargeAnswerGoThrough() throws {
    var model = FakeModel()
    (model.context, model.vocabulary) = (1 << 20, 1 << 20)
    model.logprob = { before, token, _ in -Float(token % 1000) / 997 }
    try withEngine(model) { _, connection throws in
      let ids = (0..<200_000).map { Int32($0) }
      let scores = try connection.score([EngineItem(prompt: [1], continuations: [ids])], patience)
      #expect(scores == [[ids.map { -Float($0 % 1000) / 997 }]])
    }
  }
}
