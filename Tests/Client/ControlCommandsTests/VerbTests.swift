import ControlCommands
import RPCProtocol
import Search
import Testing

@Suite struct VerbTests {
  @Test func everyMethodHasItsVerbAndEveryVerbItsMethods() {
    for method in RPCMethod.all {
      let verb =
        Verb.all.first { method.verb == $0.name } ?? Verb.all.first { method.verb.hasPrefix($0.name + " ") }
      #expect(verb?.methods.contains(method.name) == true, "\(method.name) says '\(method.verb)'")
    }
    for verb in Verb.all {
      for method in verb.methods { #expect(RPCMethod.named(method) != nil, "\(verb.name) calls \(method)") }
      #expect(!verb.methods.isEmpty || ["completion", "help"].contains(verb.name), "\(verb.name)")
    }
  }

  @Test func whatAnOptionFillsIsAParameterOfAMethodOfItsVerb() {
    for verb in Verb.all {
      let parameters = verb.methods.compactMap { RPCMethod.named($0) }.flatMap(\.parameters)
      let names = verb.options.compactMap(\.parameter) + verb.arguments.compactMap(\.parameter)
      for name in names {
        #expect(parameters.contains { $0.name == name }, "\(verb.name) fills '\(name)', which no method of it takes")
      }
      #expect(Set(verb.options.map(\.flag)).count == verb.options.count, "\(verb.name)")
      #expect(Set(verb.options.map(\.flag)).isDisjoint(with: GlobalOption.all.map(\.flag)), "\(verb.name)")
    }
  }

  @Test func everyParameterOfAMethodCanBeGivenOnTheCommandLine() {
    // What only programs need, or the verb fills by itself.
    let byPrograms: Set = [
      "system.hello client", "system.hello version", "system.sync timeout_ms", "job.wait timeout_ms",
      "mixture.get if_generation", "mixture.get pass_fd", "expert.export pass_fd", "generate messages",
      "events.subscribe follow", "expert.verify path", "task.verify path", "task.verify settings", "model.add path",
      "model.plan path",
      "check.run kind", "dispatch.evaluate path", "system.backup path", "mixture.export pass_fd",
    ]
    for method in RPCMethod.all {
      guard let verb = Verb.all.first(where: { $0.name == method.verb }) else { continue }
      let given = Set(verb.options.compactMap(\.parameter) + verb.arguments.compactMap(\.parameter))
      for parameter in method.parameters
      where !given.contains(parameter.name) && !byPrograms.contains("\(method.name) \(parameter.name)") {
        // `task register NAME` handles its argument by itself.
        if method.name == "task.register", parameter.name == "task" { continue }
        // The pages of a list are walked by themselves.
        if PageParameters.members.contains(where: { $0.name == parameter.name }) { continue }
        Issue.record("t2ctl \(verb.name) cannot give '\(parameter.name)' of \(method.name)")
      }
    }
  }

  @Test func theHelpOfASearchSaysWhatEachMethodIs() throws {
    let help = try helpText(["task", "adapt"], columns: 80).split(whereSeparator: \.isWhitespace)
    for method in SearchMethods.all {
      let wanted = "\(method.name) \(method.summary)".split(separator: " ")
      #expect(help.contains(wanted), "\(method.name)")
    }
    #expect(
      RPCMethod.named("task.adapt")?.parameters.contains {
        $0.name == "search" && $0.type == .choice(SearchMethodName.allCases.map(\.rawValue))
      } == true)
  }

  @Test func everyCommandHasItsHelp() throws {
    let overview = try helpText([], columns: 80)
    for line in overview.split(separator: "\n") { #expect(line.count <= 80, "\(line)") }
    for (heading, _) in Verb.groups { #expect(overview.contains("\n\n\(heading)\n")) }
    for verb in Verb.all {
      #expect(overview.contains("  \(verb.name) "), "\(verb.name)")
      let page = try helpText(verb.words, columns: 72)
      #expect(page.contains(verb.summary.prefix(30)))
      for option in verb.options { #expect(page.contains(option.flag), "\(verb.name) \(option.flag)") }
      let lines = page.split(separator: "\n", omittingEmptySubsequences: false)
      for line in lines { #expect(line.count <= 72, "\(line)") }
      for line in lines.prefix(while: { !$0.isEmpty }) {
        #expect(line.count { $0 == "[" } == line.count { $0 == "]" }, "an option is apart from its value: \(line)")
      }
    }
    #expect(try helpText(["expert"], columns: 80).contains("expert rollback"))
    #expect(throws: ControlError.self) { try helpText(["expret"], columns: 80) }
  }

  @Test func completionsKnowEveryVerbAndOption() throws {
    for shell in ["bash", "zsh", "fish"] {
      let script = try #require(completionScript(for: shell))
      for verb in Verb.all {
        for word in verb.words { #expect(script.contains(word), "\(shell): \(verb.name)") }
        for option in verb.options { #expect(script.contains(option.flag.dropFirst(2)), "\(shell): \(option.flag)") }
      }
    }
    #expect(completionScript(for: "tcsh") == nil)
  }
}
