import Digests
import StrictJSON
import SystemSupport

/// A mixture that was asked for and is not there, or a request that is none.
private struct Refused: Error { let answer: FakeAnswer }

extension FakeEngine {
  func answer(_ request: Received, forBase: Bool, otherReadBack: Bool) -> FakeAnswer {
    do {
      let call = Call(engine: self, model: state.read { $0.model }, forBase: forBase, otherReadBack: otherReadBack)
      switch (request.method, request.path) {
      case ("GET", "/t2/facts"): return .json(200, call.facts)
      case ("GET", "/t2/sigma"):
        return FakeAnswer(type: "application/octet-stream", body: call.sigma)
      case ("POST", "/t2/score"): return try call.score(try call.json(request.body))
      case ("POST", "/t2/logits"): return try call.logits(try call.json(request.body))
      case ("POST", "/t2/gradient"): return try call.gradient(try call.json(request.body))
      case ("POST", "/t2/generate"): return try call.generate(try call.json(request.body))
      case ("GET", let path) where path.hasPrefix("/t2/files/"):
        guard let file = call.model.files.first(where: { "/t2/files/\($0.name)" == path }) else { break }
        return FakeAnswer(type: "application/octet-stream", body: file.bytes)
      case ("PUT", let path) where path.hasPrefix("/t2/mixtures/"):
        return try call.put(String(path.dropFirst(13)), request.body)
      case ("DELETE", let path) where path.hasPrefix("/t2/mixtures/"):
        let name = String(path.dropFirst(13))
        state.withLock { $0.mixtures.removeAll { $0.digest.description == name } }
        return .json(200, [:])
      default: break
      }
      return .error(404, "not_found", "there is no \(request.method) \(request.path)")
    } catch let refused as Refused {
      return refused.answer
    } catch {
      return .error(400, "bad_request", "\(error)")
    }
  }

  /// One request, and what the engine is at that time.
  private struct Call {
    let engine: FakeEngine
    let model: FakeModel
    let forBase: Bool
    let otherReadBack: Bool

    func bad(_ message: String) -> Refused { Refused(answer: .error(400, "bad_request", message)) }

    func json(_ body: [UInt8]) throws -> JSONObject {
      guard let object = try parseJSON(body).objectValue else { throw bad("no object") }
      return object
    }

    // MARK: - What it says of itself

    var facts: JSONValue {
      var files = JSONObject()
      for file in model.files {
        files[file.name] = [
          "bytes": JSONValue(file.bytes.count), "digest": .string(SHA256.digest(file.bytes).description),
        ]
      }
      return [
        "protocol": JSONValue(model.protocolVersion),
        "engine": [
          "name": .string(model.engine), "version": .string(model.version), "type": .string(model.type),
          "device": "cpu", "parallelism": JSONValue(model.parallelism),
        ],
        "model": [
          "id": .string(model.id), "architecture": "fake", "parameters": 1000, "layers": JSONValue(model.layers),
          "hidden": JSONValue(model.hidden), "vocabulary": JSONValue(model.vocabulary),
          "context": JSONValue(model.context), "stored": "F32", "digest": .string(model.digest),
          "end_ids": .array(model.endIDs.map { .integer(Int64($0)) }),
        ],
        "targets": .array(
          model.targets.map {
            ["name": .string($0.name), "rows": JSONValue($0.rows), "columns": JSONValue($0.columns)]
          }),
        "abilities": [
          "gradients": .bool(model.gradients), "logits": .bool(model.logits), "generate": .bool(model.generates),
          "images": false, "mixtures": JSONValue(model.mixtures),
        ],
        "files": .object(files),
        "warnings": .array(model.warnings.map { .string($0) }),
      ]
    }

    /// 8, 7, 6, ... of every target.
    var sigma: [UInt8] {
      model.ranks.flatMap { rank in (0..<rank).map { Double(8 * rank - $0) } }.flatMap { value in
        (0..<8).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) }
      }
    }

    // MARK: - Mixtures

    func put(_ name: String, _ body: [UInt8]) throws -> FakeAnswer {
      guard let newline = body.firstIndex(of: 0x0A), try json(Array(body[..<newline])).isEmpty else {
        throw bad("a frame begins with {}")
      }
      let bytes = Array(body[(newline + 1)...])
      guard bytes.count == 4 * model.multiplierCount else { throw bad("\(bytes.count) bytes of multipliers") }
      let multipliers = stride(from: 0, to: bytes.count, by: 4).map { start in
        Float(bitPattern: (0..<4).reduce(0) { $0 | UInt32(bytes[start + $1]) << (8 * $1) })
      }
      guard multipliers.allSatisfy({ $0.isFinite && abs($0) <= 10 }) else { throw bad("a multiplier is out of range") }
      let digest = model.mixtureDigest(multipliers)
      guard digest.description == name else { throw bad("the multipliers are \(digest)") }
      engine.state.withLock { state in
        state.mixtures.removeAll { $0.digest == digest }
        state.mixtures.append((digest, multipliers))
        if state.mixtures.count > state.model.mixturesKept { state.mixtures.removeFirst() }
      }
      return .json(200, ["mixture": .string(name), "ranks": ranks(digest)])
    }

    private func ranks(_ digest: Digest) -> JSONValue {
      var found = [JSONValue](repeating: .string(digest.description), count: model.parallelism)
      if otherReadBack { found[found.count - 1] = .string(SHA256.digest([0]).description) }
      return .array(found)
    }

    func readBack(_ digests: [Digest]) -> JSONValue {
      var object = JSONObject()
      if !forBase {
        for digest in digests { object[digest.description] = ranks(digest) }
      }
      return .object(object)
    }

    /// The multipliers of a request or an item, and the digest where it is not the base.
    func multipliers(_ object: JSONObject) throws -> (digest: Digest?, values: [Float]) {
      let ones = [Float](repeating: 1, count: model.multiplierCount)
      guard let name = object["mixture"]?.stringValue else { return (nil, ones) }
      let found: (digest: Digest, multipliers: [Float])? = engine.state.withLock { state in
        guard let place = state.mixtures.firstIndex(where: { $0.digest.description == name }) else { return nil }
        let used = state.mixtures.remove(at: place)
        state.mixtures.append(used)
        return used
      }
      guard let found else {
        throw Refused(answer: .error(404, "unknown_mixture", "\(name) is not here", mixture: name))
      }
      return (found.digest, forBase ? ones : found.multipliers)
    }

    // MARK: - Numbers

    func ids(_ json: JSONValue?) throws -> [Int32] {
      guard let items = json?.arrayValue else { throw bad("no list of ids") }
      return try items.map { item in
        guard let id = item.intValue, (0..<model.vocabulary).contains(id) else { throw bad("no id: \(item.excerpt)") }
        return Int32(id)
      }
    }

    func items(_ object: JSONObject) throws -> [(prompt: [Int32], continuations: [[Int32]], object: JSONObject)] {
      guard let items = object["items"]?.arrayValue else { throw bad("no items") }
      return try items.map { item in
        guard let item = item.objectValue, let continuations = item["continuations"]?.arrayValue else {
          throw bad("an item is none")
        }
        let prompt = try ids(item["prompt"])
        let tokens = try continuations.map { try ids($0) }
        guard !prompt.isEmpty, tokens.allSatisfy({ !$0.isEmpty }) else { throw bad("a text without a token") }
        guard prompt.count + (tokens.map(\.count).max() ?? 0) <= model.context else {
          throw Refused(answer: .error(400, "too_long", "more than \(model.context) tokens"))
        }
        return (prompt, tokens, item)
      }
    }

    /// As engines in Python write it: the double that the float is. What is not finite is null.
    func number(_ value: Float) -> JSONValue { .number(Double(value)) }

    func logprobs(_ prompt: [Int32], _ continuation: [Int32], _ s: [Float]) -> [Float] {
      var before = prompt
      return continuation.map { token in
        defer { before.append(token) }
        return model.logprob(before, token, s)
      }
    }

    func score(_ request: JSONObject) throws -> FakeAnswer {
      var asked: [Digest] = []
      var scores: [JSONValue] = []
      for (prompt, continuations, object) in try items(request) {
        let (digest, s) = try multipliers(object)
        if let digest, !asked.contains(digest) { asked.append(digest) }
        scores.append(.array(continuations.map { .array(logprobs(prompt, $0, s).map(number)) }))
      }
      return .json(200, ["scores": .array(scores), "mixtures": readBack(asked)])
    }

    func logits(_ request: JSONObject) throws -> FakeAnswer {
      let prompt = try ids(request["prompt"])
      let (digest, s) = try multipliers(request)
      return .frame(
        ["mixtures": readBack(digest.map { [$0] } ?? [])],
        (0..<Int32(model.vocabulary)).map { model.logprob(prompt, $0, s) })
    }

    func generate(_ request: JSONObject) throws -> FakeAnswer {
      var tokens = try ids(request["prompt"])
      let (digest, s) = try multipliers(request)
      let stops = try ids(request["stop_ids"])
      guard let most = request["max_tokens"]?.intValue, most > 0 else { throw bad("no max_tokens") }
      var lines: [JSONValue] = [["mixtures": readBack(digest.map { [$0] } ?? [])]]
      var end = "length"
      for _ in 0..<most {
        guard tokens.count < model.context else {
          end = "context"
          break
        }
        let scores = (0..<Int32(model.vocabulary)).map { model.logprob(tokens, $0, s) }
        let best = Int32(scores.indices.max { (scores[$0], $1) < (scores[$1], $0) } ?? 0)
        tokens.append(best)
        lines.append(["token": .integer(Int64(best))])
        if stops.contains(best) {
          end = "stop"
          break
        }
      }
      return .stream(lines + [["end": .string(end)]])
    }

    func gradient(_ request: JSONObject) throws -> FakeAnswer {
      let (digest, s) = try multipliers(request)
      let derivatives = request["derivatives"]?.arrayValue
      var gradient = [Float](repeating: 0, count: derivatives == nil ? 0 : s.count)
      var scores: [JSONValue] = []
      for (index, (prompt, continuations, _)) in try items(request).enumerated() {
        var ofItem: [JSONValue] = []
        for (number, continuation) in continuations.enumerated() {
          ofItem.append(.array(logprobs(prompt, continuation, s).map(self.number)))
          guard let weights = derivatives?[index].arrayValue?[number].arrayValue else { continue }
          for (weight, token) in zip(weights, continuation) {
            for (place, slope) in FakeModel.slope(token, s).enumerated() {
              gradient[place] += Float(weight.doubleValue ?? .nan) * slope
            }
          }
        }
        scores.append(.array(ofItem))
      }
      let divergence = s.reduce(Float(0)) { $0 + ($1 - 1) * ($1 - 1) }
      let divergences: JSONValue =
        request["divergence"]?.stringValue == nil
        ? .null
        : .array(
          try items(request).map { item in
            .array(item.continuations.map { number(divergence * Float($0.count)) })
          })
      return .frame(
        ["scores": .array(scores), "divergences": divergences, "mixtures": readBack(digest.map { [$0] } ?? [])],
        gradient)
    }
  }
}
