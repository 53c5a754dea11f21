extension ChatTemplate {
  /// The template that this text is. An error names the family where it is a known one that is missing, and quotes the
  /// text's beginning where it is none.
  package static func recognize(_ templateText: String?) throws(TokenizerError) -> ChatTemplate {
    guard let templateText else { throw .noChatTemplate }
    if let template = chatML(templateText) { return template }
    if let family = family(of: templateText) { throw .unsupportedChatTemplate(family: family) }
    throw .unknownChatTemplate(beginning: String(templateText.unicodeScalars.prefix(120)))
  }

  private static func family(of text: String) -> String? {
    let marks: [(String, String)] = [
      ("<|start_header_id|>", "Llama 3 (<|start_header_id|>)"),
      ("<<SYS>>", "Llama 2 ([INST] <<SYS>>)"),
      ("[INST]", "Mistral ([INST])"),
      ("<start_of_turn>", "Gemma (<start_of_turn>)"),
    ]
    for (mark, name) in marks where text.contains(mark) { return name }
    if text.contains("<|im_start|>") {
      if text.contains("enable_thinking") || text.contains("reasoning_content") {
        return "Qwen3 (ChatML with thinking)"
      }
      if text.contains("tools") { return "Qwen2.5 (ChatML with tools)" }
      return "ChatML with statements beyond the plain loop over messages"
    }
    if text.contains("<|user|>") { return "Zephyr or Phi (<|user|>)" }
    return nil
  }

  /// The plain form, with or without a default system message:
  /// ```
  /// {% for message in messages %}
  ///   {% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are ...<|im_end|>\n' }}{% endif %}
  ///   {{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}
  /// {% endfor %}
  /// {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
  /// ```
  private static func chatML(_ text: String) -> ChatTemplate? {
    guard var rest = templateTags(text).map({ $0[...] }) else { return nil }
    func take(_ tags: TemplateTag...) -> Bool {
      guard rest.starts(with: tags) else { return false }
      rest = rest.dropFirst(tags.count)
      return true
    }

    // Only says that the prompt is not asked for by default; callers here always say.
    _ = take(
      .statement("if not add_generation_prompt is defined"), .statement("set add_generation_prompt = false"),
      .statement("endif"))
    guard take(.statement("for message in messages")) else { return nil }
    var defaultSystem: String?
    if take(.statement("if loop.first and messages[0]['role'] != 'system'")) {
      guard case .output(let atoms)? = rest.first, atoms.count == 1, case .literal(let literal) = atoms[0] else {
        return nil
      }
      let opening = "<|im_start|>system\n"
      let closing = "<|im_end|>\n"
      guard literal.hasPrefix(opening), literal.hasSuffix(closing) else { return nil }
      let system = String(literal.dropFirst(opening.count).dropLast(closing.count))
      guard !system.contains("<|im_") else { return nil }
      defaultSystem = system
      rest = rest.dropFirst()
      guard take(.statement("endif")) else { return nil }
    }
    guard
      take(
        .output([
          .literal("<|im_start|>"), .variable("message['role']"), .literal("\n"), .variable("message['content']"),
          .literal("<|im_end|>\n"),
        ]),
        .statement("endfor"), .statement("if add_generation_prompt"), .output([.literal("<|im_start|>assistant\n")]),
        .statement("endif")),
      rest.isEmpty
    else { return nil }
    return .chatML(defaultSystem: defaultSystem)
  }
}

/// One tag of a template in a normal form: blanks and the kind of quotation mark do not count.
private enum TemplateTag: Equatable {
  case statement(String)
  case output([TemplateAtom])
}

private enum TemplateAtom: Equatable {
  case literal(String)
  case variable(String)
}

/// The tags of a Jinja template, or nil where it has text between them or an expression that is no plain sum.
private func templateTags(_ text: String) -> [TemplateTag]? {
  var tags: [TemplateTag] = []
  var rest = text.unicodeScalars[...]
  while let first = rest.first {
    // Blanks between tags: chat templates are rendered with trim_blocks and lstrip_blocks, or marked `-`. A template that
    // relies on blanks elsewhere writes them as literals.
    if first == "\n" || first == " " {
      rest = rest.dropFirst()
      continue
    }
    guard first == "{", let kind = rest.dropFirst().first, kind == "%" || kind == "{" else { return nil }
    guard let (inside, after) = tagBody(rest.dropFirst(2), closing: kind == "%" ? "%" : "}") else { return nil }
    rest = after
    if kind == "%" {
      guard let statement = normalized(inside) else { return nil }
      tags.append(.statement(statement))
    } else {
      guard let atoms = sum(inside) else { return nil }
      tags.append(.output(atoms))
    }
  }
  return tags
}

private typealias Scalars = Substring.UnicodeScalarView

/// What stands in a tag up to its closing mark outside of quotation marks, without the `-` of blank control.
private func tagBody(_ start: Scalars, closing: Unicode.Scalar) -> (Scalars, Scalars)? {
  var quote: Unicode.Scalar?
  var index = start.startIndex
  while index < start.endIndex {
    let scalar = start[index]
    let next = start.index(after: index)
    if let open = quote {
      if scalar == "\\" {
        index = next < start.endIndex ? start.index(after: next) : next
        continue
      }
      if scalar == open { quote = nil }
    } else if scalar == "'" || scalar == "\"" {
      quote = scalar
    } else if scalar == closing, next < start.endIndex, start[next] == "}" {
      var inside = start[..<index]
      if inside.first == "-" { inside = inside.dropFirst() }
      if inside.last == "-" { inside = inside.dropLast() }
      return (inside, start[start.index(after: next)...])
    }
    index = next
  }
  return nil
}

/// A tag's words with single blanks between them, single quotation marks, and `message.role` written `message['role']`.
private func normalized(_ inside: Scalars) -> String? {
  var words: [String] = []
  for word in inside.split(whereSeparator: { $0 == " " || $0 == "\n" || $0 == "\t" }) {
    var text = String(word).replacing("\"", with: "'")
    for name in ["role", "content"] {
      text = text.replacing("[0].\(name)", with: "[0]['\(name)']").replacing(
        "message.\(name)", with: "message['\(name)']")
    }
    words.append(text)
  }
  return words.isEmpty ? nil : words.joined(separator: " ")
}

/// `'a' + b + "c"` as its parts; neighbouring literals are joined.
private func sum(_ inside: Scalars) -> [TemplateAtom]? {
  var atoms: [TemplateAtom] = []
  var rest = inside[...]
  func skipBlanks() {
    while let first = rest.first, first == " " || first == "\n" || first == "\t" { rest = rest.dropFirst() }
  }
  while true {
    skipBlanks()
    guard let first = rest.first else { return nil }
    if first == "'" || first == "\"" {
      rest = rest.dropFirst()
      guard let literal = literal(&rest, quote: first) else { return nil }
      if case .literal(let before)? = atoms.last {
        atoms[atoms.count - 1] = .literal(before + literal)
      } else {
        atoms.append(.literal(literal))
      }
    } else {
      let term = rest.prefix { $0 != "+" }
      rest = rest[term.endIndex...]
      guard let name = normalized(term), !name.contains(" ") else { return nil }
      atoms.append(.variable(name))
    }
    skipBlanks()
    guard let next = rest.first else { return atoms }
    guard next == "+" else { return nil }
    rest = rest.dropFirst()
  }
}

private func literal(_ rest: inout Scalars, quote: Unicode.Scalar) -> String? {
  var text = String.UnicodeScalarView()
  while let scalar = rest.popFirst() {
    if scalar == quote { return String(text) }
    guard scalar == "\\" else {
      text.append(scalar)
      continue
    }
    switch rest.popFirst() {
    case "n": text.append("\n")
    case "t": text.append("\t")
    case "\\": text.append("\\")
    case "'": text.append("'")
    case "\"": text.append("\"")
    default: return nil
    }
  }
  return nil
}
