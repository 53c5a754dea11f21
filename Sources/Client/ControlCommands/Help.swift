import StrictJSON

/// The overview, a noun's commands, or one command in full.
package func helpText(_ words: [String], columns: Int) throws(ControlError) -> String {
  guard !words.isEmpty else { return overview(columns: columns) }
  if let verb = Verb.all.first(where: { $0.words == words }) ?? Verb.named(words) {
    return page(verb, columns: columns)
  }
  let nouns = Verb.all.filter { $0.words.count == 2 && $0.words[0] == words[0] }
  guard !nouns.isEmpty, words.count == 1 else {
    let known = Verb.all.map(\.name)
    throw .usage(
      "there is no command 't2ctl \(words.joined(separator: " "))'",
      hint: nearestName(to: words.joined(separator: " "), among: known).map { "did you mean 't2ctl \($0)'?" }
        ?? "see: t2ctl help")
  }
  return list(nouns.map { ($0.name, $0.summary) }, columns: columns).joined(separator: "\n")
}

private func overview(columns: Int) -> String {
  var lines = ["usage: t2ctl COMMAND [ARGUMENT...] [OPTION...]"]
  // One width for all, so that the summaries are one column.
  let width = Verb.all.map(\.name.count).max() ?? 0
  for (heading, verbs) in Verb.groups {
    lines += ["", heading] + list(verbs.map { ($0.name, $0.summary) }, width: width, columns: columns)
  }
  lines += ["", "Options of every command"]
  lines += list(GlobalOption.all.map { ($0.shown, $0.summary) }, columns: columns)
  for paragraph in [
    "The socket is --socket, else that of --prefix, else $T2D_SOCKET, else that of $T2D_PREFIX, else "
      + "/run/t2d/t2d.sock. After -- everything is an argument.",
    "Status: 0 done, 1 the daemon answered with an error, 2 it could not be reached, 3 wrong usage, 4 the time was up, "
      + "5 what was checked is bad, 130 interrupted.",
    "One command in full: t2ctl help COMMAND",
  ] { lines += [""] + wrap(paragraph, columns: columns) }
  return lines.joined(separator: "\n")
}

private func page(_ verb: Verb, columns: Int) -> String {
  var lines = wrap(["usage:"] + verb.usageParts, columns: columns, indentation: 4)
  lines += [""] + wrap(verb.summary, columns: columns)
  if !verb.notes.isEmpty { lines += [""] + wrap(verb.notes, columns: columns) }
  if !verb.options.isEmpty {
    lines += ["", "Options"] + list(verb.options.map { ($0.shown, $0.summary) }, columns: columns)
  }
  for glossary in verb.glossaries {
    lines += ["", glossary.heading] + list(glossary.entries.map { ($0.name, $0.summary) }, columns: columns)
  }
  lines += ["", "Options of every command: see t2ctl help"]
  if !verb.methods.isEmpty { lines += wrap("Methods: " + verb.methods.joined(separator: ", "), columns: columns) }
  return lines.joined(separator: "\n")
}

private func list(_ entries: [(String, String)], width: Int? = nil, columns: Int) -> [String] {
  let width = width ?? min(28, entries.map(\.0.count).max() ?? 0)
  return entries.flatMap { name, summary in
    let text = wrap(summary, columns: max(30, columns - width - 4))
    let padding = String(repeating: " ", count: width + 4)
    let rest = text.dropFirst().map { padding + $0 }
    if name.count > width { return ["  " + name] + text.map { padding + $0 } }
    return ["  " + name + String(repeating: " ", count: width - name.count + 2) + (text.first ?? "")] + rest
  }
}

func wrap(_ text: String, columns: Int, indentation: Int = 0) -> [String] {
  wrap(text.split(separator: " ").map(String.init), columns: columns, indentation: indentation)
}

private func wrap(_ words: [String], columns: Int, indentation: Int) -> [String] {
  var lines: [String] = []
  var line = ""
  for word in words {
    if !line.isEmpty, line.count + 1 + word.count > columns {
      lines.append(line)
      line = String(repeating: " ", count: indentation) + word
    } else {
      line += (line.isEmpty ? "" : " ") + word
    }
  }
  return lines + [line]
}
