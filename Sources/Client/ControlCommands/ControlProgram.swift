import RPCClient
import RPCProtocol
import StrictJSON
import SystemSupport

/// t2ctl without its process: takes the arguments after the program's name, returns the exit status.
package func runControl(_ arguments: [String], console given: Console? = nil) -> Int32 {
  let request: CommandLineRequest
  do throws(ControlError) {
    request = try parseCommandLine(arguments)
  } catch {
    return report(error, on: given ?? .standard(color: .auto), json: false)
  }
  let command: ParsedCommand
  switch request {
  case .version:
    (given ?? .standard(color: .auto)).print("t2ctl \(programVersion)")
    return 0
  case .help(let words):
    let console = given ?? .standard(color: .auto)
    do throws(ControlError) {
      console.print(try helpText(words, columns: console.out.columns ?? 80))
      return 0
    } catch {
      return report(error, on: console, json: false)
    }
  case .run(let parsed): command = parsed
  }
  let console = given ?? .standard(color: command.color)
  do throws(ControlError) {
    try command.verb.run(Invocation(command: command, console: console))
    return 0
  } catch {
    return report(error, on: console, json: command.json)
  }
}

private func report(_ error: ControlError, on console: Console, json: Bool) -> Int32 {
  if json, case .client(.refused(let refusal)) = error { console.print(refusal.json.jsonText) }
  let prefix = console.styledNote("t2ctl: ", .red)
  for (index, line) in error.description.split(separator: "\n").enumerated() {
    // The terminal would break it within a word; the name before the first line has its room too.
    let room = (console.error.columns ?? 80) - 7
    let shown = console.error.isTerminal && line.count > room ? wrap(String(line), columns: room) : [String(line)]
    for (part, text) in shown.enumerated() { console.note((index == 0 && part == 0 ? prefix : "  ") + text) }
  }
  return error.status
}
