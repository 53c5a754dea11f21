import Digests
import StrictJSON
import SystemSupport

/// What multipliers the engine found on its ranks when it answered: `"mixtures": {DIGEST: [DIGEST, ...]}`.
enum ReadBack {
  /// Throws unless every mixture that was asked for was found on every rank, and no other anywhere.
  static func check(
    _ found: JSONValue?, of asked: Set<Digest>, ranks: Int
  ) throws(EngineFailure.Cause) {
    guard let found else {
      throw asked.isEmpty
        ? .notTheProtocol("it does not say which mixtures were read back (member \"mixtures\")")
        : .wrongMixture("it does not say which mixtures were read back")
    }
    guard case .object(let object) = found else {
      throw .notTheProtocol("its member \"mixtures\" is \(found.kindName), and no object")
    }
    var missing = asked
    for (name, ranksFound) in object.members {
      guard let digest = Digest(description: name) else {
        throw .wrongMixture("'\(escaped(name, limit: 80))' was read back, which names no mixture")
      }
      guard asked.contains(digest) else {
        throw .wrongMixture("\(digest) was read back, which nobody asked for")
      }
      missing.remove(digest)
      try checkRanks(ranksFound, of: digest, ranks: ranks)
    }
    if let digest = missing.min() {
      throw .wrongMixture("\(digest) was asked for, and was not read back; it is perhaps the base that answered")
    }
  }

  static func checkRanks(
    _ found: JSONValue, of digest: Digest, ranks: Int
  ) throws(EngineFailure.Cause) {
    guard case .array(let items) = found, items.count == ranks else {
      let count = found.arrayValue.map { "\($0.count)" } ?? found.kindName
      throw .wrongMixture("\(digest) was to be read back on \(ranks) ranks, and what came is of \(count)")
    }
    for (rank, item) in items.enumerated() {
      guard let text = item.stringValue, Digest(description: text) == digest else {
        throw .wrongMixture(
          "\(digest) was asked for, and rank \(rank) has '\(escaped(item.stringValue ?? item.jsonText, limit: 80))'")
      }
    }
  }
}
