/// The members of a JSON object in their order of appearance; keys are unique by their UTF-8 bytes.
package struct JSONObject: Sendable, Equatable, ExpressibleByDictionaryLiteral {
  package private(set) var members: [(key: String, value: JSONValue)] = []
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

  package var count: Int { members.count }
  package var isEmpty: Bool { members.isEmpty }
  package var keys: [String] { members.map(\.key) }

  /// Reads a member, replaces it in its place, appends it, or with nil removes it.
  package subscript(_ key: String) -> JSONValue? {
    get { position(of: key).map { members[$0].value } }
    set {
      switch (position(of: key), newValue) {
      case (let position?, let value?): members[position].value = value
      case (let position?, nil):
        members.remove(at: position)
        reindex()
      case (nil, let value?): append(key, value)
      case (nil, nil): break
      }
    }
  }

  package static func == (left: JSONObject, right: JSONObject) -> Bool {
    left.count == right.count && left.members.allSatisfy { right[$0.key] == $0.value }
  }

  /// Adds a member at the end; false, and nothing added, where the key is there already.
  @discardableResult
  mutating func append(_ key: String, _ value: JSONValue) -> Bool {
    if index != nil {
      let known = UTF8Key(key)
      if index?[known] != nil { return false }
      index?[known] = members.count
      members.append((key, value))
      return true
    }
    guard position(of: key) == nil else { return false }
    members.append((key, value))
    if members.count > Self.indexingThreshold { reindex() }
    return true
  }

  private func position(of key: String) -> Int? {
    let wanted = UTF8Key(key)
    if let index { return index[wanted] }
    return members.firstIndex { UTF8Key($0.key) == wanted }
  }

  private mutating func reindex() {
    guard members.count > Self.indexingThreshold else {
      index = nil
      return
    }
    var rebuilt: [UTF8Key: Int] = [:]
    rebuilt.reserveCapacity(members.count * 2)
    for (position, member) in members.enumerated() { rebuilt[UTF8Key(member.key)] = position }
    index = rebuilt
  }
}
