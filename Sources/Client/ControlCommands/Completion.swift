/// Completion scripts from the table of verbs. They are static: nobody asks the daemon when a key is pressed.
package func completionScript(for shell: String) -> String? {
  switch shell {
  case "bash": bash()
  case "zsh": zsh()
  case "fish": fish()
  default: nil
  }
}

private let firstWords: [String] = {
  var words: [String] = []
  for verb in Verb.all where !words.contains(verb.words[0]) { words.append(verb.words[0]) }
  return words
}()

private func secondWords(_ noun: String) -> [String] {
  Verb.all.filter { $0.words.count == 2 && $0.words[0] == noun }.map { $0.words[1] }
}

private func flags(_ options: [Verb.Option]) -> String { options.map(\.flag).joined(separator: " ") }

private func bash() -> String {
  var lines = [
    "# t2ctl completion for bash; install as /usr/share/bash-completion/completions/t2ctl",
    "_t2ctl() {",
    "  local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} words=() i options",
    "  for ((i = 1; i < COMP_CWORD; i++)); do",
    "    case ${COMP_WORDS[i]} in --socket | --prefix | --timeout | --color) ((i++)) ;; -*) ;; *) words+=(\"${COMP_WORDS[i]}\") ;; esac",
    "  done",
    "  case $previous in",
    "  --socket | --prefix | --vectors | --output | -o) COMPREPLY=($(compgen -f -- \"$word\")); return ;;",
    "  --color) COMPREPLY=($(compgen -W 'auto always never' -- \"$word\")); return ;;",
    "  esac",
    "  case \"${words[0]} ${words[1]}\" in",
  ]
  for verb in Verb.all where !verb.options.isEmpty {
    lines.append("  '\(verb.name)'*) options='\(flags(verb.options))' ;;")
  }
  lines += [
    "  esac",
    "  if [[ $word == -* ]]; then COMPREPLY=($(compgen -W \"$options \(flags(GlobalOption.all))\" -- \"$word\")); return; fi",
    "  case ${#words[@]}:${words[0]} in",
    "  0:*) COMPREPLY=($(compgen -W '\(firstWords.joined(separator: " "))' -- \"$word\")) ;;",
  ]
  for noun in firstWords where !secondWords(noun).isEmpty {
    lines.append("  1:\(noun)) COMPREPLY=($(compgen -W '\(secondWords(noun).joined(separator: " "))' -- \"$word\")) ;;")
  }
  lines += [
    "  1:completion) COMPREPLY=($(compgen -W 'bash zsh fish' -- \"$word\")) ;;",
    "  *) COMPREPLY=($(compgen -f -- \"$word\")) ;;",
    "  esac",
    "}",
    "complete -o filenames -F _t2ctl t2ctl",
  ]
  return lines.joined(separator: "\n")
}

private func zsh() -> String {
  // zsh runs bash's functions through its own bashcompinit; one script to keep true instead of two.
  """
  #compdef t2ctl
  autoload -U +X bashcompinit && bashcompinit
  \(bash())
  """
}

private func fish() -> String {
  func quote(_ text: String) -> String {
    "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "\\'") + "'"
  }
  var lines = ["# t2ctl completion for fish; install as ~/.config/fish/completions/t2ctl.fish"]
  let nouns = firstWords.joined(separator: " ")
  for word in firstWords {
    let seconds = secondWords(word)
    let summary =
      seconds.isEmpty ? Verb.all.first { $0.words == [word] }?.summary ?? "" : seconds.joined(separator: ", ")
    lines.append("complete -c t2ctl -f -n 'not __fish_seen_subcommand_from \(nouns)' -a \(word) -d \(quote(summary))")
    for verb in Verb.all where verb.words.count == 2 && verb.words[0] == word {
      lines.append(
        "complete -c t2ctl -f -n '__fish_seen_subcommand_from \(word); and not __fish_seen_subcommand_from "
          + "\(seconds.joined(separator: " "))' -a \(verb.words[1]) -d \(quote(verb.summary))")
    }
  }
  for verb in Verb.all {
    let condition = verb.words.map { "__fish_seen_subcommand_from \($0)" }.joined(separator: "; and ")
    for option in verb.options {
      let value = option.value == nil ? "" : option.isPath ? " -r -F" : " -x"
      lines.append(
        "complete -c t2ctl -n '\(condition)' -l \(option.flag.dropFirst(2))\(value) -d \(quote(option.summary))")
    }
  }
  for option in GlobalOption.all {
    let value = option.value == nil ? "" : option.isPath ? " -r -F" : " -x"
    lines.append("complete -c t2ctl -l \(option.flag.dropFirst(2))\(value) -d \(quote(option.summary))")
  }
  return lines.joined(separator: "\n")
}
