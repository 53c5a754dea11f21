import Digests
import Experts

/// The active experts that may take part in mixtures, by the base that they are bound to, with a digest of each such set
/// that costs the same whatever the size of the set.
package struct ActiveExperts: Sendable, Equatable {
  /// A model as it was when an expert was bound to it.
  package struct Base: Hashable, Sendable {
    package var model: Name
    package var digest: String

    package init(model: String, digest: String) {
      self.model = Name(model)
      self.digest = digest
    }
  }

  private struct Group: Sendable, Equatable {
    var names = SortedChunks<Name>()
    var digest = SetDigest()

    /// The digest is that of the names too.
    static func == (a: Self, b: Self) -> Bool { a.digest == b.digest }
  }

  private var groups: [Base: Group] = [:]
  /// Of every kind and every digest, by model.
  private var counts: [Name: Int] = [:]

  package init() {}

  /// How many experts of a model are active, of whatever kind.
  package func count(ofModel name: String) -> Int { counts[Name(name)] ?? 0 }

  package func names(of base: Base) -> SortedChunks<Name> { groups[base]?.names ?? [] }

  /// Of the names, versions and contents of a base's experts; nil where it has none.
  package func digest(of base: Base) -> SetDigest? { groups[base]?.digest }

  /// The active version of one name: `old` was it, `new` is it now.
  mutating func replace(_ old: ExpertVersion?, by new: ExpertVersion?) {
    if let old {
      let model = Name(old.model)
      let left = (counts[model] ?? 0) - 1
      counts[model] = left > 0 ? left : nil
      if old.mayTakePart {
        groups[old.base]?.names.remove(Name(old.name))
        groups[old.base]?.digest.remove(old)
        if groups[old.base]?.names.isEmpty ?? false { groups[old.base] = nil }
      }
    }
    if let new {
      counts[Name(new.model), default: 0] += 1
      if new.mayTakePart {
        groups[new.base, default: Group()].names.set(Name(new.name))
        groups[new.base, default: Group()].digest.insert(new)
      }
    }
  }
}

extension ExpertVersion {
  /// In mixtures. A dispatcher classifies requests and answers none.
  package var mayTakePart: Bool { kind != ExpertKind.dispatcher.rawValue }
  package var base: ActiveExperts.Base { ActiveExperts.Base(model: model, digest: modelDigest) }
}

/// A digest of a set of expert versions, to which one can be added and from which one can be taken without the others:
/// the sum, modulo 2^256, of the SHA-256 of each. Where sets differ, it differs; nobody gains by making two that do not.
package struct SetDigest: Sendable, Equatable {
  /// The least significant first.
  private var words: [UInt64] = [0, 0, 0, 0]
  private var count = 0

  package init() {}

  package init(_ versions: some Sequence<ExpertVersion>) {
    for version in versions { insert(version) }
  }

  package mutating func insert(_ version: ExpertVersion) {
    add(Self.words(of: version))
    count += 1
  }

  /// One that was inserted.
  package mutating func remove(_ version: ExpertVersion) {
    // In two's complement, minus x is not x plus one.
    add(Self.words(of: version).map { ~$0 })
    add([1, 0, 0, 0])
    count -= 1
  }

  /// How many, and the sum.
  package var text: String {
    let digits = words.reversed().map { word in
      let text = String(word, radix: 16)
      return String(repeating: "0", count: 16 - text.utf8.count) + text
    }
    return "\(count) \(digits.joined())"
  }

  private mutating func add(_ other: [UInt64]) {
    var carry: UInt64 = 0
    for place in words.indices {
      let (sum, overflow) = words[place].addingReportingOverflow(other[place])
      let (total, again) = sum.addingReportingOverflow(carry)
      words[place] = total
      carry = overflow || again ? 1 : 0
    }
  }

  private static func words(of version: ExpertVersion) -> [UInt64] {
    let bytes = SHA256.digest(Array("\(version.name)@\(version.version) \(version.digest)".utf8)).bytes
    return (0..<4).map { word in bytes[(word * 8)..<(word * 8 + 8)].reduce(0) { $0 << 8 | UInt64($1) } }
  }
}
