package import StrictJSON
import SystemSupport

/// A recorded talk with the daemon: one file of Tests/Golden/rpc, named after its method.
///
///     # Why a mixture is not there yet.
///     --> {"jsonrpc":"2.0","id":1,"method":"mixture.get","params":{"task":"new"}}
///     <-- {"jsonrpc":"2.0","id":1,"error":{"code":1006,"message":"...","data":{"kind":"no_mixture_yet"}}}
///
/// A request is followed by the lines that it brought, notifications and then its answer. `# scene: NAME` begins anew with
/// the daemon of that name (GoldenTests says what there is). What differs from run to run stands there as a placeholder
/// that is a valid value of its type, so each line is JSON as a client may get it.
///
/// The daemon's side is compared by GoldenTests, which also records; the tests of t2ctl read the same files.
package struct GoldenScript: Sendable {
  package static let directory = "\(repository)/Tests/Golden/rpc"

  package struct Failure: Error, CustomStringConvertible {
    package var description: String

    package init(_ description: String) { self.description = description }
  }

  /// One request and what came of it.
  package struct Exchange: Sendable, Equatable {
    /// The lines of comment before it.
    package var comments: [String] = []
    package var request: String
    /// What came, in its order: notifications, then the answer.
    package var received: [String] = []

    /// The request, where it is JSON.
    package var asked: JSONValue? { try? parseJSON(Array(request.utf8)) }
    package var method: String? { asked?["method"]?.stringValue }
    package var params: JSONObject { asked?["params"]?.objectValue ?? [:] }
    /// The line that answers the request: the last one.
    package var answer: JSONValue? { received.last.flatMap { try? parseJSON(Array($0.utf8)) } }
    package var result: JSONValue? { answer?["result"] }
    package var error: JSONValue? { answer?["error"] }
    package var notifications: [JSONValue] { received.dropLast().compactMap { try? parseJSON(Array($0.utf8)) } }
  }

  /// What is asked of one daemon, from its start.
  package struct Scene: Sendable {
    /// The lines of comment before it.
    package var comments: [String] = []
    package var name: String
    package var exchanges: [Exchange] = []
  }

  /// The scene that a script begins with where it names none.
  private static let firstScene = "bank"
  private static let sceneMark = "# scene: "

  package let method: String
  package var scenes: [Scene] = []
  /// Comments behind the last exchange.
  private var rest: [String] = []

  package var exchanges: [Exchange] { scenes.flatMap(\.exchanges) }

  /// The methods that have a script.
  package static func recordedMethods() throws -> [String] {
    try FileSystem.entries(directory).compactMap(\.text).filter { $0.hasSuffix(".rpc") }.map { String($0.dropLast(4)) }
      .sorted()
  }

  private static func path(_ method: String) -> String { "\(directory)/\(method).rpc" }

  package init(method: String) throws {
    let bytes = try FileSystem.readAll(Self.path(method), maximumBytes: 4 << 20)
    try self.init(method: method, text: String(decoding: bytes, as: UTF8.self))
  }

  package init(method: String, text: String) throws {
    self.method = method
    var comments: [String] = []
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      if line.hasPrefix("--> ") {
        if scenes.isEmpty { scenes.append(Scene(name: Self.firstScene)) }
        let exchange = Exchange(comments: comments, request: String(line.dropFirst(4)))
        scenes[scenes.count - 1].exchanges.append(exchange)
        comments = []
      } else if line.hasPrefix("<-- "), comments.isEmpty, let last = scenes.last?.exchanges.indices.last {
        scenes[scenes.count - 1].exchanges[last].received.append(String(line.dropFirst(4)))
      } else if line.hasPrefix(Self.sceneMark) {
        scenes.append(Scene(comments: comments, name: String(line.dropFirst(Self.sceneMark.count))))
        comments = []
      } else if line.isEmpty || line.hasPrefix("#") {
        comments.append(String(line))
      } else {
        throw Failure("\(method).rpc, line \(index + 1) is not a line of a script: \(line)")
      }
    }
    while comments.last?.isEmpty == true { comments.removeLast() }
    rest = comments
  }

  /// The file, as it is kept.
  package var text: String {
    var lines: [String] = []
    for (index, scene) in scenes.enumerated() {
      lines += scene.comments
      if index > 0 || scene.name != Self.firstScene { lines.append(Self.sceneMark + scene.name) }
      for exchange in scene.exchanges {
        lines += exchange.comments + ["--> " + exchange.request] + exchange.received.map { "<-- " + $0 }
      }
    }
    return (lines + rest).joined(separator: "\n") + "\n"
  }

  /// Writes the file anew.
  package func record() throws { try FileSystem.writeAtomically(Self.path(method), Array(text.utf8), mode: 0o644) }
}
