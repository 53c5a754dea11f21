import RPCProtocol
import RPCServer
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// What the real daemon answered, as Tests/Golden/rpc has it: the scripted daemon of these tests says nothing else.
struct Recording: Sendable {
  static let shared = Result { try Recording() }

  /// Of each method, the results of its own script, then those of other scripts.
  private let results: [String: [JSONValue]]
  /// Of each method, the members of the notifications that came before such a result.
  private let parts: [String: [JSONValue]]

  private init() throws {
    var own: [String: [JSONValue]] = [:]
    var others: [String: [JSONValue]] = [:]
    var parts: [String: [JSONValue]] = [:]
    for name in try GoldenScript.recordedMethods() {
      for exchange in try GoldenScript(method: name).exchanges {
        guard let method = exchange.method, let result = exchange.result else { continue }
        if method == name {
          own[method, default: []].append(result)
        } else {
          others[method, default: []].append(result)
        }
        parts[method, default: []] += exchange.notifications.compactMap { $0["params"] }
      }
    }
    // The result of a search's job is as mixture.get answers: t2-protocol(7).
    others["mixture.get", default: []] += (others["job.wait"] ?? []).compactMap {
      $0["kind"] == "adapt" ? $0["result"] : nil
    }
    results = own.merging(others) { $0 + $1 }
    self.parts = parts
  }

  /// The first recorded result of a method.
  func result(of method: String) throws -> JSONValue {
    try #require(results[method]?.first, "no script has a result of \(method)")
  }

  /// The recorded result that is most like `changes`, with their values instead of its own. A member that no recorded
  /// answer of the method has is one that no daemon sends: an error that names it.
  func result(of method: String, changing changes: JSONValue) throws -> JSONValue {
    try Self.changed(results[method] ?? [], changes, method)
  }

  /// The same of what comes before a result.
  func part(of method: String, changing changes: JSONValue) throws -> JSONValue {
    try Self.changed(parts[method] ?? [], changes, method)
  }

  /// What is not recorded, since it differs from run to run: only a job that is running has it.
  private static let unrecorded: Set = ["phase", "detail", "best", "eta_seconds"]

  private static func changed(_ recorded: [JSONValue], _ changes: JSONValue, _ method: String) throws -> JSONValue {
    var nearest: Change?
    for candidate in recorded {
      var change = Change()
      change.value = change.laid(changes, over: candidate, [])
      if change.unknown.isEmpty { return change.value }
      if change.unknown.count < nearest?.unknown.count ?? .max { nearest = change }
    }
    guard let nearest else { throw GoldenScript.Failure("no script has a result of \(method)") }
    // What is there in some answers only may stand in one of the others.
    let unknown = nearest.unknown.filter { place in
      !(method.hasPrefix("job.") && place.count == 1 && unrecorded.contains(place[0]))
        && !recorded.contains { has($0, place[...]) }
    }
    guard unknown.isEmpty else {
      let named = unknown.map { $0.joined(separator: ".") }.joined(separator: ", ")
      throw GoldenScript.Failure("no recorded answer of \(method) has: \(named)")
    }
    return nearest.value
  }

  /// Whether a value has a member at a place, in which `*` is any member or element.
  private static func has(_ value: JSONValue, _ place: ArraySlice<String>) -> Bool {
    guard let first = place.first else { return true }
    let rest = place.dropFirst()
    if first != "*" { return value[first].map { has($0, rest) } ?? false }
    return (value.arrayValue ?? value.objectValue?.members.map(\.value) ?? []).contains { has($0, rest) }
  }

  /// An answer with other values.
  private struct Change {
    var value = JSONValue.null
    /// Places that the recording does not have.
    var unknown: [[String]] = []

    /// Objects whose members are names of experts and strategies, and not of the protocol.
    private static let maps: Set = ["alpha", "experts", "strategies", "best_experts"]

    mutating func laid(_ change: JSONValue, over recorded: JSONValue, _ place: [String]) -> JSONValue {
      switch (change, recorded) {
      case (.object(let members), .object(var object)):
        if let name = place.last, Self.maps.contains(name), let first = object.members.first?.value {
          object = JSONObject()
          for (key, value) in members.members { object[key] = laid(value, over: first, place + ["*"]) }
          return .object(object)
        }
        for (key, value) in members.members {
          if let known = object[key] {
            object[key] = laid(value, over: known, place + [key])
          } else {
            unknown.append(place + [key])
            object[key] = value
          }
        }
        return .object(object)
      case (.array(let elements), .array(let known)):
        // Each element is like a recorded one; an empty list shows no more than that it is a list.
        return .array(
          elements.map { element in known[like: element].map { laid(element, over: $0, place + ["*"]) } ?? element })
      case (.null, _), (_, .null): return change
      case (.integer, .number), (.number, .integer), (.integer, .integer), (.number, .number), (.string, .string),
        (.bool, .bool):
        return change
      // A coefficient is a number, or a list of them, one for each unit.
      case (.array, .number), (.array, .integer):
        if place.contains("alpha") { return change }
      default: break
      }
      unknown.append(place + ["(\(change.kindName))"])
      return change
    }
  }
}

extension [JSONValue] {
  /// The element that has the most members of another.
  fileprivate subscript(like other: JSONValue) -> JSONValue? {
    func shared(_ value: JSONValue, _ other: JSONValue) -> Int {
      (other.objectValue?.members ?? []).reduce(0) { count, member in
        value[member.key].map { count + 1 + shared($0, member.value) } ?? count
      }
    }
    guard other.objectValue != nil else { return first }
    return self.max { shared($0, other) < shared($1, other) }
  }
}

/// The one answer of the scripted daemon to one request: a recorded one.
struct ScriptedReply: Sendable {
  let method: String
  let reply: RPCReply

  /// As it was recorded, with these values instead of its own.
  func succeed(_ changes: JSONValue = [:]) {
    answer({ try $0.result(of: method, changing: changes) }, send: { reply.succeed($0) })
  }

  /// Only these members of a recorded answer, for a test that reads every line of the output.
  func succeed(only members: JSONValue) {
    answer({ _ = try $0.result(of: method, changing: members) }, send: { reply.succeed(members) })
  }

  private func answer<Value>(_ make: (Recording) throws -> Value, send: (Value) -> Void) {
    do {
      send(try make(try Recording.shared.get()))
    } catch {
      Issue.record(error)
      reply.fail(RPCError(.internal, "\(error)"))
    }
  }

  /// The same with an open file, as `pass_fd` asks.
  func succeed(_ changes: JSONValue, descriptor: FileDescriptor?) {
    answer(
      { try $0.result(of: method, changing: changes) },
      send: { reply.succeed(raw: $0.serialized(), descriptor: descriptor) })
  }

  /// A piece of the answer; a recorded one with these values.
  func part(_ number: Int, _ changes: JSONObject) {
    answer({ _ = try $0.part(of: method, changing: .object(changes)) }, send: { reply.part(number, changes) })
  }

  func fail(_ error: RPCError) { reply.fail(error) }
}
