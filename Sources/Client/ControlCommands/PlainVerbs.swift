import RPCProtocol
import StrictJSON
import SystemSupport

extension Verb {
  static let plainVerbs: [Verb] = [
    make(
      "rpc", [.one("METHOD"), .optional("KEY=VALUE", repeats: true)],
      methods: ["system.hello", "system.shutdown", "adapter.resolve"],
      "Call any method and print its result object.",
      notes:
        "A VALUE of digits is an integer, true, false and null are themselves, one that begins with {, [ or a quote "
        + "is JSON, all else is a string. A number with a leading zero is a string."
    ) { invocation throws(ControlError) in
      var params = JSONObject()
      for argument in invocation.command.arguments.dropFirst() {
        guard let equals = argument.firstIndex(of: "="), equals > argument.startIndex else {
          throw .usage("'\(escaped(argument))' is not KEY=VALUE", hint: nil)
        }
        let key = String(argument[..<equals])
        guard params[key] == nil else { throw .usage("'\(escaped(key))' is given twice", hint: nil) }
        params[key] = try rawValue(String(argument[argument.index(after: equals)...]))
      }
      let result = try invocation.call(invocation.argument(0), params)
      let isPretty = !invocation.command.json && invocation.console.out.isTerminal
      invocation.console.print(
        isPretty ? String(decoding: result.serialized(pretty: true), as: UTF8.self) : result.jsonText)
    },
    make("completion", [.one("SHELL")], methods: [], "A completion script for bash, zsh or fish.") {
      invocation throws(ControlError) in
      guard let script = completionScript(for: invocation.argument(0)) else {
        throw .usage(
          "there is no completion for '\(escaped(invocation.argument(0)))'", hint: "there are: bash, zsh, fish")
      }
      invocation.console.print(script)
    },
    make("help", [.optional("COMMAND", repeats: true)], methods: [], "What the commands are, or how one is used.") {
      invocation throws(ControlError) in
      invocation.console.print(
        try helpText(invocation.command.arguments, columns: invocation.console.out.columns ?? 80))
    },
  ]
}

private func rawValue(_ text: String) throws(ControlError) -> JSONValue {
  switch text {
  case "true": return true
  case "false": return false
  case "null": return nil
  default: break
  }
  if let first = text.utf8.first, "{[\"".utf8.contains(first) {
    do { return try parseJSON(text) } catch {
      throw .usage("'\(escaped(text, limit: 64))' is not JSON: \(error)", hint: nil)
    }
  }
  let digits = text.hasPrefix("-") ? text.dropFirst() : text[...]
  let isPlain = !digits.isEmpty && digits.utf8.allSatisfy { (0x30...0x39).contains($0) }
  if isPlain, digits == "0" || digits.first != "0", let number = Int64(text) { return .integer(number) }
  let isDecimal =
    digits.utf8.first.map { (0x30...0x39).contains($0) } == true && digits.utf8.contains(0x2e)
    && digits.utf8.allSatisfy { (0x30...0x39).contains($0) || $0 == 0x2e }
  if isDecimal, let number = Double(text) { return .number(number) }
  return .string(text)
}
