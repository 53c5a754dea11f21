import ControlCommands
import Testing

@Suite struct ParsedCommandTests {
  private func command(_ line: String) throws -> ParsedCommand {
    try command(line.split(separator: " ").map(String.init))
  }

  private func command(_ words: [String]) throws -> ParsedCommand {
    guard case .run(let command) = try parseCommandLine(words) else {
      Issue.record("\(words) runs no command")
      throw ControlError.failed("\(words)")
    }
    return command
  }

  private func usage(_ line: String) -> (String, String?)? {
    do {
      _ = try parseCommandLine(line.split(separator: " ").map(String.init))
      return nil
    } catch {
      guard case .usage(let problem, let hint) = error else { return nil }
      #expect(error.status == 3)
      return (problem, hint)
    }
  }

  @Test func optionsMayStandAnywhereBeforeTheDashes() throws {
    for line in [
      "--json mixture get t --model m --timeout 2.5", "mixture --json get --model=m t --timeout=2.5",
      "--timeout 2.5 mixture get --json --model m -- t",
    ] {
      let parsed = try command(line)
      #expect(parsed.verb.name == "mixture get", "\(line)")
      #expect(parsed.arguments == ["t"], "\(line)")
      #expect(parsed.value("--model") == "m", "\(line)")
      #expect(parsed.json)
      #expect(parsed.timeout == .milliseconds(2500))
      #expect(parsed.waits)
    }
  }

  @Test func afterTheDashesEverythingIsAnArgument() throws {
    #expect(try command("tokenize -- --json").arguments == ["--json"])
    #expect(try command("tokenize -").arguments == ["-"])
    #expect(try command("tokenize -7.5").arguments == ["-7.5"])
  }

  @Test func aTextWithSpacesThatBeginsWithADashIsNoOption() throws {
    #expect(try command(["ask", "- what is this?"]).arguments == ["- what is this?"])
  }

  @Test func mistypedWordsGetASuggestion() throws {
    #expect(try #require(usage("mixture gte t")).1 == "did you mean 't2ctl mixture get'?")
    #expect(try #require(usage("mixtur get t")).1 == "did you mean 't2ctl mixture'?")
    #expect(try #require(usage("stauts")).1 == "did you mean 't2ctl status'?")
    #expect(try #require(usage("task adapt t --sed 3")).1 == "did you mean '--seed'?")
    #expect(try #require(usage("status --jsno")).1 == "did you mean '--json'?")
  }

  @Test func aPromptMayBeTheSecondWordOfAnotherCommand() throws {
    func words(_ line: [String]) throws -> (verb: String, arguments: [String])? {
      guard case .run(let parsed) = try parseCommandLine(line) else { return nil }
      return (parsed.verb.name, parsed.arguments)
    }
    #expect(try #require(try words(["dispatch", "evaluate", "f.jsonl"])) == ("dispatch evaluate", ["f.jsonl"]))
    let behindOptions = ["--json", "--prefix", "/p", "dispatch", "evaluate", "f.jsonl"]
    #expect(try #require(try words(behindOptions)) == ("dispatch evaluate", ["f.jsonl"]))
    #expect(try #require(try words(["dispatch", "--", "evaluate"])) == ("dispatch", ["evaluate"]))
    #expect(try #require(try words(["dispatch", "evaluate this"])) == ("dispatch", ["evaluate this"]))
  }

  @Test func whatIsMissingOrTooMuchIsNamed() throws {
    #expect(try #require(usage("mixture get")).0 == "t2ctl mixture get needs TASK")
    #expect(try #require(usage("model show")).0 == "t2ctl model show needs NAME")
    #expect(try #require(usage("status now")).0.contains("'now'"))
    #expect(try #require(usage("mixture")).0 == "t2ctl mixture needs one of: get, list, log, ablate, export")
    #expect(try #require(usage("")).0 == "what is to be done?")
    #expect(try #require(usage("status --socket")).0 == "--socket needs a value: --socket PATH")
    #expect(try #require(usage("status --json=1")).0 == "--json takes no value")
    for bad in ["0", "-1", "x", "inf", "nan", "1e99"] { #expect(usage("status --timeout \(bad)") != nil, "\(bad)") }
    #expect(usage("status --color blue") != nil)
  }

  @Test func helpAndVersionAreAskedForInEveryWay() throws {
    for line in ["help", "--help", "-h"] {
      guard case .help([]) = try parseCommandLine([line]) else {
        Issue.record("\(line)")
        continue
      }
    }
    guard case .help(["task", "adapt"]) = try parseCommandLine(["task", "adapt", "--help"]) else {
      Issue.record("task adapt --help")
      return
    }
    guard case .version = try parseCommandLine(["--version"]) else {
      Issue.record("--version")
      return
    }
  }
}
