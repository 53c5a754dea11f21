import Glibc
import StrictJSON
import SystemSupport

/// llama.cpp in a process of its own, `etc/lib/llama-bench`: a line of JSON there, a line back. It ends with the last
/// reference.
final class LlamaProcess {
  static let script = "etc/lib/llama-bench"
  private static let patience: Duration = .seconds(600)

  private let process: ChildProcess
  private let socket: FileDescriptor
  private var received: [UInt8] = []
  /// Of llama-cpp-python, and what llama.cpp says of how it was built.
  private(set) var version = ""

  /// Loads a model there. Takes as long as that does.
  /// - Parameter environment: a directory that etc/lib/make-llama has made.
  init(
    environment: String, script: String = LlamaProcess.script, model: String, threads: Int, context: Int
  ) throws {
    let python = "\(environment)/bin/python"
    for (path, maker) in [(python, "etc/lib/make-llama makes it"), (script, "run t2bench in the repository")] {
      guard unsafe access(path, R_OK) == 0 else { throw BenchmarkError("cannot read '\(path)'; \(maker)") }
    }
    let (mine, theirs) = try FileDescriptor.socketPair()
    process = try ChildProcess(
      python, arguments: [python, script], environment: ChildProcess.environment(), socket: theirs)
    socket = mine
    try theirs.close()
    let answer = try ask(["model": .string(model), "threads": JSONValue(threads), "context": JSONValue(context)])
    version = "\(answer["version"]?.stringValue ?? "?") (\(answer["system"]?.stringValue ?? "?"))"
  }

  /// Seconds until the first token, and from there until `count` tokens are chosen.
  func generate(_ prompt: [Int32], count: Int) throws -> (prefill: Double, decode: Double) {
    let answer = try ask([
      "prompt": .array(prompt.map { .integer(Int64($0)) }), "tokens": JSONValue(count),
    ])
    guard let prefill = answer["prefill"]?.doubleValue, let decode = answer["decode"]?.doubleValue else {
      throw BenchmarkError("llama-bench answered \(answer.jsonText)")
    }
    return (prefill, decode)
  }

  private func ask(_ request: JSONObject) throws -> JSONValue {
    try socket.write(all: Array(JSONValue.object(request).jsonText.utf8) + [0x0a])
    let deadline = Deadline.after(Self.patience)
    while true {
      if let end = received.firstIndex(of: 0x0a) {
        let answer = try parseJSON(Array(received[..<end]))
        received.removeSubrange(...end)
        if let problem = answer["error"]?.stringValue { throw BenchmarkError("llama-bench: \(problem)") }
        return answer
      }
      var waiting = pollfd(fd: socket.number, events: Int16(POLLIN), revents: 0)
      guard unsafe poll(&waiting, 1, deadline.pollMilliseconds) != 0 else {
        throw BenchmarkError("llama-bench did not answer within \(Self.patience)")
      }
      let bytes = try socket.read(upTo: 1 << 16)
      guard !bytes.isEmpty else {
        let exit = process.waitForExit(until: .after(.seconds(5)))
        throw BenchmarkError("llama-bench ended with \(exit.map(\.description) ?? "nothing") before it answered")
      }
      received += bytes
    }
  }
}
