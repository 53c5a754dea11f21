import Testing

@testable import Evaluation

@Suite struct TaskSettingsTests {
  private func read(_ text: String) throws(TaskFileError) -> TaskSettings {
    try TaskSettings(json5: Array(text.utf8), file: "task.json5")
  }

  private func problem(_ text: String) -> String {
    do throws(TaskFileError) {
      _ = try read(text)
      return "read"
    } catch {
      return "\(error)"
    }
  }

  /// Each of the first three ends the process where `Regex` gets it, the fourth does not end.
  @Test(arguments: [
    (String(repeating: "[", count: 1000), "1000 brackets and operators of classes, at most 64"),
    (String(repeating: "[^", count: 400) + "a" + String(repeating: "]", count: 400), "has 1201 bytes, at most 1024"),
    ("[" + String(repeating: "a&&", count: 300) + "a]", "301 brackets and operators"),
    ("a{1000000000}", "repeats something 1000000000 times, at most 1000"),
    ("(a{2,1001})", "repeats something 1001 times"),
    ("a{ 99999999999999999999 }", "99999999999999999999 times"),
  ])
  func anExpressionThatIsTooMuchForTheCompilerIsRefused(pattern: String, found: String) {
    let text = problem("{ extract: { regex: \"\(pattern)\" } }")
    #expect(
      text.contains("'extract.regex' is not a valid regular expression: it") && text.contains(found),
      "\(text)")
  }

  @Test func longNumbersThatAreNoCountsMayStandInAnExpression() throws {
    let settings = try read(#"{ extract: ["12345", "\\u{10348}", "[a,99999]", "x{1000}"] }"#)
    #expect(settings.extract?.items.count == 4)
  }

  @Test func everyKeyIsRead() throws {
    let settings = try read(
      """
      {
        // a comment
        description: "d", license: "MIT", scoring: "generate", metric: "exact_match", template: "{question} =",
        system: "S", chat: false, max_tokens: 32, stop: "\\n", extract: ["strict", { name: "boxed", regex: "x(\\\\d+)", group: 1, pick: "last" }],
        model: "m", experts: ["a", "b"],
        search: { method: "cma-es", granularity: "layer", mix: "delta", iterations: 20, population: 16, elite: 0.25, seed: 7,
                  objective: "loglik", shots: 5, normalized: true, range: [-1, 2], budget: { prompts: 4000, seconds: 60 } },
      }
      """)
    #expect(settings.scoring == .generate && settings.metric == .exactMatch)
    #expect(settings.template?.text == "{question} =")
    #expect(settings.system == "S" && settings.chat == false && settings.maximumTokens == 32 && settings.stop == ["\n"])
    #expect(settings.extract?.items.map(\.name) == ["strict", "boxed"])
    #expect(settings.model == "m" && settings.experts == ["a", "b"])
    let search = settings.search
    #expect(
      search.method.rawValue == "cma-es" && search.granularity == .layer && search.mix == .delta
        && search.objective == .loglik)
    #expect(
      search.iterations == 20 && search.population == 16 && search.elite == 0.25 && search.elites == 4
        && search.seed == 7)
    #expect(search.shots == 5 && search.isNormalized && search.lower == -1 && search.upper == 2)
    #expect(search.budgetPrompts == 4000 && search.budgetSeconds == 60)
  }

  @Test func allExpertsIsAStar() throws {
    #expect(try read("{experts: '*'}").experts == nil)
    #expect(try read("{experts: 'one'}").experts == ["one"])
  }

  @Test(arguments: [
    ("{max_token: 3}", "max_tokens"), ("{scorng: 'choice'}", "scoring"), ("{search: {methd: 'cem'}}", "method"),
    ("{search: {budget: {second: 1}}}", "seconds"), ("{scoring: 'choise'}", "choice"),
    ("{metric: 'acc_nrm'}", "acc_norm"),
    ("{extract: [{regx: 'x'}]}", "regex"),
  ])
  func aMistypedNameGetsTheNearest(text: String, near: String) {
    #expect(problem(text).contains("task.json5"))
    #expect(problem(text).contains("\"\(near)\"") || problem(text).contains("'\(near)'"), "\(problem(text))")
  }

  @Test(arguments: [
    "{max_tokens: 0}", "{max_tokens: 'x'}", "{stop: ['']}", "{stop: [1]}", "{extract: []}", "{extract: ['(']}",
    "{experts: []}", "{search: {population: 1}}", "{search: {seed: -1}}", "{search: {range: [1, 0]}}", "{search: []}",
    "{template: 'no field'}", "{template: '{open'}", "{template: 'x}'}", "{scoring: 'choice', metric: 'exact_match'}",
    "[]", "{",
    "{chat: 'yes'}", "{search: {range: [0]}}", "{search: {shots: 0}}",
  ])
  func badValuesAreErrors(text: String) {
    #expect(problem(text) != "read")
  }

  @Test func aMetricThatDoesNotFitTheRowsIsAnError() {
    let found = TaskFixture.error { () throws(TaskFileError) in
      try TaskFixture.task(TaskFixture.arc("Q"), settings: "{metric: 'exact_match'}")
    }
    #expect("\(found!)".contains("the metric 'exact_match' does not go with rows for 'choice'"))
  }
}
