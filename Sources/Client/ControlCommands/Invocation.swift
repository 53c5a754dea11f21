import Glibc
import Records
import RPCClient
import RPCProtocol
import StrictJSON
import SystemSupport

/// One run of a verb: its command line, its console, and its connection, which opens when it is first needed.
final class Invocation {
  let command: ParsedCommand
  let console: Console
  private var openClient: RPCClient?

  init(command: ParsedCommand, console: Console) {
    self.command = command
    self.console = console
  }

  var socketPath: String {
    command.socket ?? command.prefix.map(Self.socket) ?? environment("T2D_SOCKET")
      ?? environment("T2D_PREFIX").map(Self.socket) ?? "/run/t2d/t2d.sock"
  }

  private static func socket(of prefix: String) -> String {
    (prefix.hasSuffix("/") ? prefix : prefix + "/") + "var/run/t2d/t2d.sock"
  }

  private func environment(_ name: String) -> String? {
    environmentVariable(name).flatMap { $0.isEmpty ? nil : $0 }
  }

  func client() throws(ControlError) -> RPCClient {
    if let openClient { return openClient }
    do {
      let client = try RPCClient(socketPath: socketPath, timeout: command.timeout ?? .seconds(30))
      openClient = client
      return client
    } catch {
      throw .client(error)
    }
  }

  func call(_ method: String, _ params: JSONObject = [:], timeout: Duration? = nil) throws(ControlError) -> JSONValue {
    let client = try client()
    do {
      return try client.call(method, params, timeout: command.timeout ?? timeout)
    } catch {
      throw .client(error)
    }
  }

  func call<Method: RPCMethodDeclaration>(
    _ method: Method.Type, _ params: JSONObject = [:], timeout: Duration? = nil
  ) throws(ControlError) -> Answer<Method.Result> {
    let client = try client()
    do {
      return try client.call(method, params, timeout: command.timeout ?? timeout)
    } catch {
      throw .client(error)
    }
  }

  /// Of a method that reads a file: it is opened here, with the rights of who runs this, and passed along.
  func call<Method: RPCMethodDeclaration>(
    _ method: Method.Type, _ params: JSONObject, reading path: String
  ) throws(ControlError) -> Answer<Method.Result> {
    let file: FileDescriptor
    do { file = try FileDescriptor.open(path, O_RDONLY | O_NONBLOCK) } catch { throw .file(error) }
    var params = params
    params["path"] = .string(try absolutePath(path))
    return try call(method, params, passing: file)
  }

  /// Of a method that takes an open file.
  func call<Method: RPCMethodDeclaration>(
    _ method: Method.Type, _ params: JSONObject, passing file: FileDescriptor, timeout: Duration? = nil
  ) throws(ControlError) -> Answer<Method.Result> {
    let client = try client()
    do {
      return try client.call(method, params, file: file, timeout: command.timeout ?? timeout)
    } catch {
      throw .client(error)
    }
  }

  /// A part of an answer that differs from case to case: a job's result, by its kind.
  func read<Value: Decodable>(_ json: JSONValue, as type: Value.Type, of method: String) throws(ControlError) -> Value {
    do throws(RecordError) {
      return try RecordReader(unknownMembers: .ignored).read(json, at: "result")
    } catch {
      throw .client(.unreadable(method: method, problem: error.description))
    }
  }

  // MARK: - Arguments to parameters

  func argument(_ index: Int) -> String { command.arguments.indices.contains(index) ? command.arguments[index] : "" }

  /// The parameters of a method from the arguments and options that name them, converted by their declared types.
  func parameters<Method: RPCMethodDeclaration>(for method: Method.Type) throws(ControlError) -> JSONObject {
    let members = Method.parameterMembers
    var params = JSONObject()
    func set(_ name: String, _ text: String, shown: String) throws(ControlError) {
      guard let parameter = members.first(where: { $0.name == name }) else { return }
      let value = try convert(text, to: parameter.type, shown: shown)
      if let problem = parameter.type.problem(with: value) { throw .usage("\(shown) \(problem)", hint: nil) }
      params[name] = value
    }
    for (index, argument) in command.verb.arguments.enumerated() {
      guard let name = argument.parameter, command.arguments.indices.contains(index) else { continue }
      let text = command.arguments[index]
      try set(name, text == "-" && name != "task" ? readStandardInput() : text, shown: argument.name)
    }
    let options = command.verb.options
    for (flag, value) in command.options {
      guard let option = options.first(where: { $0.flag == flag }), let name = option.parameter else {
        continue
      }
      if let value {
        if option.flag == "--stop", let known = params[name]?.arrayValue {
          params[name] = .array(known + [.string(value)])
        } else {
          try set(name, value, shown: flag)
        }
      } else {
        params[name] = .bool(option.meaning)
      }
    }
    return params
  }

  private func convert(_ text: String, to type: ValueType, shown: String) throws(ControlError) -> JSONValue {
    switch type {
    case .string, .choice, .text, .messages, .custom, .record, .any: return .string(text)
    case .integer:
      guard let number = Int64(text) else {
        throw .usage("\(shown) must be an integer, and is '\(escaped(text))'", hint: nil)
      }
      return .integer(number)
    case .number:
      guard let number = Double(text), number.isFinite else {
        throw .usage("\(shown) must be a number, and is '\(escaped(text))'", hint: nil)
      }
      return .number(number)
    case .tokens, .list(.integer, _):
      return .array(text.split(separator: ",").map { Int64($0).map { .integer($0) } ?? .string(String($0)) })
    case .list(.number, _):
      return .array(text.split(separator: ",").map { Double($0).map { .number($0) } ?? .string(String($0)) })
    case .boolean: return .bool(text == "true" || text == "yes")
    case .list:
      return shown == "--stop" ? [.string(text)] : .array(text.split(separator: ",").map { .string(String($0)) })
    case .coefficients:
      var object = JSONObject()
      for part in text.split(separator: ",") {
        let sides = part.split(separator: "=", maxSplits: 1)
        guard sides.count == 2, let number = Double(sides[1]), number.isFinite, object[String(sides[0])] == nil else {
          throw .usage(
            "\(shown) must look like science=0.7,social=0.3, and '\(escaped(String(part)))' does not", hint: nil)
        }
        object[String(sides[0])] = .number(number)
      }
      return .object(object)
    }
  }

  private func readStandardInput() throws(ControlError) -> String {
    var bytes: [UInt8] = []
    let input = FileDescriptor(takingOwnershipOf: dup(STDIN_FILENO))
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while bytes.count < 1 << 20 {
      var count = 0
      do throws(SystemCallError) {
        var failure: SystemCallError?
        unsafe buffer.withUnsafeMutableBytes { space in
          do throws(SystemCallError) { count = try unsafe input.read(into: space) } catch { failure = error }
        }
        if let failure { throw failure }
      } catch {
        throw .file(error)
      }
      if count == 0 { break }
      bytes.append(contentsOf: buffer[..<count])
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw .usage("standard input is not UTF-8", hint: nil)
    }
    return text.hasSuffix("\n") ? String(text.dropLast()) : text
  }

  /// A path that means the same to the daemon, whose working directory is another.
  func absolutePath(_ path: String) throws(ControlError) -> String {
    if path.hasPrefix("/") { return path }
    guard let current = unsafe getcwd(nil, 0) else { throw .file(SystemCallError("read the working directory")) }
    defer { unsafe free(current) }
    return unsafe String(cString: current) + "/" + path
  }

  // MARK: - Answers

  /// With --json the object as it came; otherwise `render`.
  func answer(_ result: JSONValue, _ render: () -> Void) {
    if command.json { console.print(result.jsonText) } else { render() }
  }

  func answer<Value>(_ answer: Answer<Value>, _ render: (Value) -> Void) {
    self.answer(answer.json) { render(answer.value) }
  }

  func print(_ table: Table, empty: String) {
    if table.rows.isEmpty, console.out.isTerminal {
      console.note(empty)
      return
    }
    for (number, block) in table.blocks(for: console.out).enumerated() {
      if number > 0 { console.print("") }
      for (index, line) in block.enumerated() {
        console.print(index == 0 && console.out.isTerminal ? console.styled(line, .bold) : line)
      }
    }
  }
}
