import StrictJSON

/// A command line taken apart: pure, so that every rule of it has a test.
package struct ParsedCommand: Sendable {
  package enum Color: String, Sendable, CaseIterable { case auto, always, never }

  package var verb: Verb
  package var arguments: [String] = []
  /// The last of an option counts; of one that may repeat, all.
  package var options: [(flag: String, value: String?)] = []
  package var socket: String?
  package var prefix: String?
  package var json = false
  package var timeout: Duration?
  package var waits = true
  package var color = Color.auto

  package func value(_ flag: String) -> String? { options.last { $0.flag == flag }?.value }
  package func has(_ flag: String) -> Bool { options.contains { $0.flag == flag } }
}

/// What a command line asks for.
package enum CommandLineRequest: Sendable {
  case run(ParsedCommand)
  /// Help on these words; none for the overview.
  case help([String])
  case version
}

package func parseCommandLine(_ arguments: [String]) throws(ControlError) -> CommandLineRequest {
  var words: [String] = []
  var pending: [(flag: String, value: String?)] = []
  var wantsHelp = false
  var wantsVersion = false
  var rest = arguments[...]
  var verb: Verb?
  var optionsBeforeWords = 0

  // Words first name the verb, then are its arguments; options may stand anywhere before `--`.
  while let token = rest.popFirst() {
    if token == "--" {
      words.append(contentsOf: rest)
      break
    }
    if token == "-h" || token == "--help" {
      wantsHelp = true
      continue
    }
    if token == "--version" {
      wantsVersion = true
      continue
    }
    // "-" alone is standard input; "-1" is a number; a token with a space in it is a prompt that begins with a dash.
    guard token.hasPrefix("-"), token != "-", !isNumber(token), !token.contains(" ") else {
      words.append(token)
      if words.count == 1 { optionsBeforeWords = pending.count }
      // A second word may make another verb of it, if nothing stands between them.
      if verb == nil || (words.count == 2 && pending.count == optionsBeforeWords) { verb = Verb.named(words) }
      continue
    }
    let (flag, attached) = split(token)
    if verb == nil { verb = Verb.named(words) }
    guard let option = (GlobalOption.all + (verb?.options ?? [])).first(where: { $0.flag == flag || $0.letter == flag })
    else {
      throw unknownOption(flag, verb: verb, words: words)
    }
    if let value = option.value {
      guard let text = attached ?? rest.popFirst() else {
        throw .usage("\(flag) needs a value: \(flag) \(value)", hint: nil)
      }
      pending.append((option.flag, text))
    } else {
      guard attached == nil else { throw .usage("\(flag) takes no value", hint: nil) }
      pending.append((option.flag, nil))
    }
  }
  if wantsVersion { return .version }
  if wantsHelp { return .help(words) }
  if words.first == "help" { return .help(Array(words.dropFirst())) }
  guard let verb else { throw unknownVerb(words) }

  var command = ParsedCommand(verb: verb)
  command.arguments = Array(words.dropFirst(verb.words.count))
  for (flag, value) in pending {
    switch flag {
    case "--socket": command.socket = value
    case "--prefix": command.prefix = value
    case "--json": command.json = true
    case "--wait": command.waits = true
    case "--no-wait": command.waits = false
    case "--timeout":
      guard let seconds = value.flatMap(Double.init), seconds.isFinite, (0.001...1e9).contains(seconds) else {
        throw .usage("--timeout must be a number of seconds above 0, and is '\(value ?? "")'", hint: nil)
      }
      command.timeout = .milliseconds(Int64((seconds * 1000).rounded(.up)))
    case "--color":
      guard let color = value.flatMap(ParsedCommand.Color.init(rawValue:)) else {
        throw .usage("--color must be auto, always or never, and is '\(value ?? "")'", hint: nil)
      }
      command.color = color
    default: command.options.append((flag, value))
    }
  }
  let needed = verb.arguments.count { !$0.isOptional }
  let usage = "usage: \(verb.usage)"
  if command.arguments.count < needed {
    let missing = verb.arguments.filter { !$0.isOptional }[command.arguments.count].name
    throw .usage("t2ctl \(verb.name) needs \(missing)", hint: usage)
  }
  if command.arguments.count > verb.arguments.count, verb.arguments.last?.repeats != true {
    throw .usage(
      "t2ctl \(verb.name) does not know what to do with '\(command.arguments[verb.arguments.count])'",
      hint: usage + "\n(a text with spaces is one argument when it stands in quotes)")
  }
  return .run(command)
}

private func split(_ token: String) -> (flag: String, value: String?) {
  guard token.hasPrefix("--"), let equals = token.firstIndex(of: "=") else { return (token, nil) }
  return (String(token[..<equals]), String(token[token.index(after: equals)...]))
}

private func isNumber(_ token: String) -> Bool { Double(token) != nil }

private func unknownOption(_ flag: String, verb: Verb?, words: [String]) -> ControlError {
  let known = (GlobalOption.all + (verb?.options ?? [])).map(\.flag)
  let of = verb.map { "t2ctl \($0.name) has" } ?? "there is"
  return .usage(
    "\(of) no option '\(flag)'",
    hint: nearestName(to: flag, among: known).map { "did you mean '\($0)'?" }
      ?? "see: t2ctl help\(verb.map { " " + $0.name } ?? ""); after -- everything is an argument")
}

private func unknownVerb(_ words: [String]) -> ControlError {
  guard let first = words.first else { return .usage("what is to be done?", hint: "see: t2ctl help") }
  let nouns = Verb.all.filter { $0.words.count == 2 && $0.words[0] == first }
  if !nouns.isEmpty {
    let list = nouns.map { $0.words[1] }
    guard words.count > 1 else {
      return .usage("t2ctl \(first) needs one of: \(list.joined(separator: ", "))", hint: nil)
    }
    return .usage(
      "there is no command 't2ctl \(first) \(words[1])'",
      hint: nearestName(to: words[1], among: list).map { "did you mean 't2ctl \(first) \($0)'?" }
        ?? "there are: \(list.joined(separator: ", "))")
  }
  return .usage(
    "there is no command 't2ctl \(first)'",
    hint: nearestName(to: first, among: Set(Verb.all.map { $0.words[0] } + ["help"])).map {
      "did you mean 't2ctl \($0)'?"
    }
      ?? "see: t2ctl help")
}
