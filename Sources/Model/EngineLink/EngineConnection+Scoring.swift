package import Digests
import StrictJSON

extension EngineConnection {
  /// ln p of every token of every continuation, given all before it; NaN where it is not finite. (items, continuations,
  /// tokens)
  ///
  /// All items in one request: they are computed together, and all are answered or none. An engine that has forgotten a mixture
  /// refuses with `unknown_mixture`.
  package func score(_ items: [EngineItem], _ patience: Patience) throws(EngineFailure) -> [[[Float]]] {
    try call("score \(Self.counted(items))", patience) { facts throws(EngineFailure.Cause) in
      let mixtures = Set(items.compactMap(\.mixture?.digest))
      guard mixtures.count <= facts.abilities.mixtures else {
        throw .unable("\(mixtures.count) mixtures at once are more than the \(facts.abilities.mixtures) that it takes")
      }
      let request = HTTPRequest(method: .post, path: "/t2/score", body: Self.scoreRequest(items))
      let answer = AnsweredScores(
        items.map { $0.continuations.map(\.count) }, mixtures, ranks: facts.engine.parallelism)
      return try answer.read(try exchange(request, bodyBytes: answer.limits.maximumBytes, patience))
    }
  }

  static func counted(_ items: [EngineItem]) -> String {
    items.count == 1 ? "1 item" : "\(items.count) items"
  }

  static func scoreRequest(_ items: [EngineItem]) -> [UInt8] {
    var text = RequestText()
    text.text("{\"items\":")
    text.list(items) { text, item in
      text.text("{\"prompt\":")
      text.ids(item.prompt)
      text.text(",\"continuations\":")
      text.list(item.continuations) { $0.ids($1) }
      text.text(",\"mixture\":")
      text.digest(item.mixture?.digest)
      text.text("}")
    }
    text.text("}")
    return text.bytes
  }

  /// The logits of the token that follows a prompt. (vocabulary)
  package func logits(
    _ prompt: [Int32], _ mixture: EngineMixture?, _ patience: Patience
  ) throws(EngineFailure) -> [Float] {
    try call("compute the logits behind \(prompt.count) tokens", patience) { facts throws(EngineFailure.Cause) in
      guard facts.abilities.logits else { throw .unable("this engine gives no logits") }
      var text = RequestText()
      text.text("{\"prompt\":")
      text.ids(prompt)
      text.text(",\"mixture\":")
      text.digest(mixture?.digest)
      text.text("}")
      let count = facts.model.vocabulary
      let body = try exchange(
        HTTPRequest(method: .post, path: "/t2/logits", body: text.bytes), bodyBytes: Self.smallBody + 4 * count,
        patience)
      let (line, logits) = try Frame.read(body, Self.receiptLimits) { _ in count }
      try ReadBack.check(
        line["mixtures"], of: mixture.map { [$0.digest] } ?? [], ranks: facts.engine.parallelism)
      return logits
    }
  }
}

/// What the answer to a request of scores must look like, and what it may cost.
package struct AnsweredScores {
  /// Tokens of each continuation of each item.
  let tokens: [[Int]]
  let mixtures: Set<Digest>
  let ranks: Int

  package init(_ tokens: [[Int]], _ mixtures: Set<Digest>, ranks: Int) {
    (self.tokens, self.mixtures, self.ranks) = (tokens, mixtures, ranks)
  }

  private var numbers: Int { tokens.reduce(0) { $0 + $1.reduce(0, +) } }
  private var lists: Int { tokens.reduce(0) { $0 + 1 + $1.count } }

  /// A number of the answer has some 20 bytes, a digest 73.
  var limits: JSONLimits {
    JSONLimits(
      maximumMembers: 1000 + numbers + lists + mixtures.count * (1 + ranks),
      maximumBytes: (64 << 10) + 64 * numbers + 16 * lists + 128 * mixtures.count * (1 + ranks))
  }

  package func read(_ body: [UInt8]) throws(EngineFailure.Cause) -> [[[Float]]] {
    let object = try Frame.object(body[...], limits)
    // First of all: numbers of another mixture need no further word.
    try ReadBack.check(object["mixtures"], of: mixtures, ranks: ranks)
    return try scores(object["scores"])
  }

  /// (items, continuations, tokens)
  func scores(_ json: JSONValue?) throws(EngineFailure.Cause) -> [[[Float]]] {
    let items = try Self.list(json, tokens.count, "scores")
    var scores: [[[Float]]] = []
    for (index, item) in items.enumerated() {
      let continuations = try Self.list(item, tokens[index].count, "scores[\(index)]")
      var ofItem: [[Float]] = []
      for (number, continuation) in continuations.enumerated() {
        let place = "scores[\(index)][\(number)]"
        let values = try Self.list(continuation, tokens[index][number], place)
        ofItem.append(try Self.floats(values, at: place, atMost: Self.largestLogarithm))
      }
      scores.append(ofItem)
    }
    return scores
  }

  /// A probability is at most 1, and what a sum of halves may make of it.
  private static let largestLogarithm: Float = 0.05

  static func list(
    _ json: JSONValue?, _ count: Int, _ place: @autoclosure () -> String
  ) throws(EngineFailure.Cause) -> [JSONValue] {
    guard let json else { throw .notTheProtocol("'\(place())' is missing") }
    guard case .array(let items) = json else { throw .notTheProtocol("'\(place())' is \(json.kindName), and no list") }
    guard items.count == count else {
      throw .notTheProtocol("'\(place())' has \(items.count) entries, and \(count) were asked for")
    }
    return items
  }

  /// Null is NaN: JSON has no word for what is not finite.
  static func floats(
    _ items: [JSONValue], at place: @autoclosure () -> String, atMost largest: Float = .greatestFiniteMagnitude
  ) throws(EngineFailure.Cause) -> [Float] {
    var values: [Float] = []
    values.reserveCapacity(items.count)
    for (index, item) in items.enumerated() {
      if item.isNull {
        values.append(.nan)
        continue
      }
      guard let value = item.doubleValue.map({ Float($0) }), value.isFinite, value <= largest else {
        let found = item.excerpt
        throw .notTheProtocol(
          "'\(place())[\(index)]' is \(found), "
            + (largest < .greatestFiniteMagnitude ? "and the logarithm of a probability is at most 0" : "and no float"))
      }
      values.append(value)
    }
    return values
  }
}
