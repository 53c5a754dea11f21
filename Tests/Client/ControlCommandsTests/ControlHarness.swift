import ControlCommands
import RPCProtocol
import RPCServer
import StrictJSON
import SystemSupport

/// A daemon that answers by script, with what the real one was recorded to say, and remembers what it was asked.
final class ScriptedDaemon: RPCHandler {
  typealias Answer = @Sendable (RPCRequest, ScriptedReply) -> Void
  private let answer: Answer
  private let requests = Mutex<[RPCRequest]>([])

  init(_ answer: @escaping Answer) { self.answer = answer }

  func handle(_ request: RPCRequest, _ reply: RPCReply) {
    requests.withLock { $0.append(request) }
    answer(request, ScriptedReply(method: request.method.name, reply: reply))
  }

  /// The parameters of each call of a method.
  func calls(of method: String) -> [JSONObject] {
    requests.withLock { $0.filter { $0.method.name == method }.map(\.params) }
  }
}

/// What a run of t2ctl left behind.
struct Outcome {
  var status: Int32
  var out: String
  var error: String
  var lines: [String] { out.split(separator: "\n").map(String.init) }
}

func run(
  _ arguments: [String], terminal: Bool = false, columns: Int? = nil, color: ParsedCommand.Color = .never,
  drawsBlocks: Bool = true
) -> Outcome {
  let out = Collector()
  let error = Collector()
  let console = Console(
    out: Console.Stream(isTerminal: terminal, columns: columns) { out.append($0) },
    error: Console.Stream(isTerminal: terminal, columns: columns) { error.append($0) }, color: color,
    drawsBlocks: drawsBlocks)
  let status = runControl(arguments, console: console)
  return Outcome(status: status, out: out.text, error: error.text)
}

private final class Collector: Sendable {
  private let collected = Mutex("")
  func append(_ text: String) { collected.withLock { $0 += text } }
  var text: String { collected.withLock { $0 } }
}

/// Runs `body` with a scripted daemon and the options that reach it.
func withDaemon(
  _ answer: @escaping ScriptedDaemon.Answer,
  _ body: (_ daemon: ScriptedDaemon, _ options: [String], _ directory: String) throws -> Void
) throws {
  try withTemporaryDirectory { directory in
    let daemon = ScriptedDaemon(answer)
    let server = try RPCServer(path: directory + "/s", handler: daemon)
    try server.start()
    defer { server.stop(within: .zero) }
    try body(daemon, ["--socket", directory + "/s"], directory)
  }
}
