/// The members of a JSON object in their order of appearance; keys are unique by their UTF-8 bytes.
package struct JSONObject: Sendable, Equatable, ExpressibleByDictionaryLiteral {
  /// Not tuples: the runtime looks up the type of an array of tuples anew for every array that is made.
  struct Member: Sendable {
    let key: String
    var value: JSONValue
  }

  private(set) var storage: [Member] = []
  /// Kept only above `indexingThreshold` members: a vocabulary has 50,000, a request has four.
  private var index: [UTF8Key: Int]?

  private static let indexingThreshold = 16

  package init() {}

  package init(dictionaryLiteral elements: (String, JSONValue)...) {
    self.init(literalMembers: elements)
  }

  init(literalMembers: [(String, JSONValue)]) {
    for (key, value) in literalMembers {
      precondition(append(key, value), "an object literal names the key \"\(key)\" twice")
    }
  }

  package var members: [(key: String, value: JSONValue)] { storage.map { ($0.key, $0.value) } }
  package var count: Int { storage.count }
  package var isEmpty: Bool { storage.isEmpty }
  package var keys: [String] { storage.map(\.key) }

  /// Reads a member, replaces it in its place, appends it, or with nil removes it.
  package subscript(_ key: String) -> JSONValue? {
    get { position(of: key).map { storage[$0].value } }
    set {
      switch (position(of: key), newValue) {
      case (let position?, let value?): storage[position].value = value
      case (let position?, nil):
        storage.remove(at: position)
        reindex()
      case (nil, let value?): append(key, value)
      case (nil, nil): break
      }
    }
  }

  package static func == (left: JSONObject, right: JSONObject) -> Bool {
    left.count == right.count && left.storage.allSatisfy { right[$0.key] == $0.value }
  }

  mutating func reserveCapacity(_ count: Int) { storage.reserveCapacity(count) }

  /// Adds a member at the end; false, and nothing added, where the key is there already.
  @discardableResult
  mutating func append(_ key: String, _ value: JSONValue) -> Bool {
    if index != nil {
      let known = UTF8Key(key)
      if index?[known] != nil { return false }
      index?[known] = storage.count
      storage.append(Member(key: key, value: value))
      return true
    }
    guard position(of: key) == nil else { return false }
    storage.append(Member(key: key, value: value))
    if storage.count > Self.indexingThreshold { reindex() }
    return true
  }

  private func position(of key: String) -> Int? {
    let wanted = UTF8Key(key)
    if let index { return index[wanted] }
    return storage.firstIndex { UTF8Key($0.key) == wanted }
  }

  private mutating func reindex() {
    guard storage.count > Self.indexingThreshold else {
      index = nil
      return
    }
    var rebuilt: [UTF8Key: Int] = [:]
    rebuilt.reserveCapacity(storage.count * 2)
    for (position, member) in storage.enumerated() { rebuilt[UTF8Key(member.key)] = position }
    index = rebuilt
  }
}
