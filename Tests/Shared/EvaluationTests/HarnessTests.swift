import Foundation
import StrictJSON
import Testing

@testable import Evaluation

/// What lm-evaluation-harness makes of rows, beside what is made of them here. `etc/compare-harness` writes the expected files
/// by the harness's own code.
struct HarnessTests {
  struct Comparison: CustomTestStringConvertible, Sendable {
    /// The harness's task, and the fixture.
    let testDescription: String
    /// Nil: the rows' shape tells it.
    var template: String?
    /// Rows that we ask otherwise on purpose, which are the same where blanks at the ends of choices and questions are trimmed.
    var trimmed: Set<Int> = []
    /// Of generated rows the harness's stops, and ours are others.
    var hasOwnStops = false
    /// Rows that are refused here, and why.
    var refused: [Int: String] = [:]

    init(
      _ name: String, template: String? = nil, trimmed: Set<Int> = [], ownStops: Bool = false,
      refused: [Int: String] = [:]
    ) {
      (testDescription, self.template, self.trimmed, hasOwnStops) = (name, template, trimmed, ownStops)
      self.refused = refused
    }
  }

  private static let compared = [
    Comparison("arc_easy", trimmed: [5]), Comparison("arc_challenge", trimmed: [5, 6]), Comparison("openbookqa"),
    Comparison("hellaswag", trimmed: [3, 4, 9]),
    Comparison("piqa"), Comparison("winogrande"), Comparison("boolq"), Comparison("boolq-google"),
    Comparison("social_iqa"),
    Comparison("commonsense_qa"), Comparison("race"), Comparison("mmlu_abstract_algebra", template: "harness/mmlu"),
    Comparison("mmlu_pro_math", template: "harness/mmlu_pro"), Comparison("sciq"), Comparison("copa"),
    Comparison("swag"), Comparison("medmcqa"), Comparison("medqa_4options"), Comparison("medqa-options"),
    Comparison("logiqa"), Comparison("belebele_eng_Latn"), Comparison("pubmedqa"), Comparison("pubmedqa-labeled"),
    Comparison("agieval_aqua_rat"), Comparison("gsm8k", trimmed: [6], ownStops: true), Comparison("triviaqa"),
    Comparison("nq_open"),
    Comparison("squadv2", refused: [4: "'answers' holds no answer", 8: "'answers' holds no answer"]),
    Comparison("minerva_math_algebra"), Comparison("rte", template: "harness/rte"),
    Comparison("wnli", template: "harness/wnli"), Comparison("mnli", template: "harness/mnli"),
    Comparison("anli_r1", template: "harness/anli_r1"), Comparison("cb", template: "harness/cb"),
    Comparison("sst2", template: "harness/sst2"), Comparison("cola", template: "harness/cola"),
    Comparison("qnli", template: "harness/qnli"), Comparison("mrpc", template: "harness/mrpc"),
    Comparison("qqp", template: "harness/qqp"),
  ]

  /// Sets whose rows the harness asks otherwise than we do, or that have no shape here.
  private static let notOffered: Set<String> = [
    "bbh_zeroshot_boolean_expressions", "coqa", "drop", "headqa_en", "hendrycks_math_algebra", "humaneval",
    "lambada_openai",
    "mathqa", "mbpp", "mc_taco", "mgsm_direct_en", "truthfulqa_mc1", "webqs", "wic", "wsc273", "xstorycloze_en",
  ]

  private static let folder = Bundle.module.bundlePath + "/Fixtures/harness/"

  @Test(arguments: compared) func aRowIsAskedAsTheHarnessAsksIt(_ comparison: Comparison) throws {
    let name = comparison.testDescription
    let settings = comparison.template.map { "{ template: '\($0)', skipped_rows: 0 }" } ?? "{ skipped_rows: 0 }"
    func task(_ lines: [Int: String]) throws(TaskFileError) -> TaskDefinition {
      let text = (1...10).map { lines[$0] ?? "" }.joined(separator: "\n")
      return try TaskDefinition(
        name: "t",
        files: .init(
          fewshot: .init(name: name + ".jsonl", bytes: Array(text.utf8)),
          settings: .init(name: "task.json5", bytes: Array(settings.utf8))))
    }
    let lines = try self.lines(name)
    for (number, reason) in comparison.refused {
      let line = try #require(lines[number])
      let error = TaskFixture.error { () throws(TaskFileError) in try task([number: line]) }
      #expect("\(try #require(error))".contains(reason))
    }
    let made = try task(lines.filter { comparison.refused[$0.key] == nil })
    #expect(made.shots.count + comparison.refused.count == 10)
    let wanted = try self.lines(name + ".expected")
    for row in made.shots {
      try compare(row, of: made, to: try parseJSON(try #require(wanted[row.line])), comparison)
    }
  }

  /// By their numbers.
  private func lines(_ name: String) throws -> [Int: String] {
    let text = try String(contentsOfFile: Self.folder + name + ".jsonl", encoding: .utf8)
    let lines = text.split(separator: "\n").map(String.init)
    try #require(lines.count == 10)
    return Dictionary(uniqueKeysWithValues: zip(1...10, lines))
  }

  private func compare(
    _ row: TaskRow, of task: TaskDefinition, to wanted: JSONValue, _ comparison: Comparison
  ) throws {
    let place = Comment("\(comparison.testDescription), row \(row.line)")
    let prompt = try #require(task.plainPrompt(for: row))
    if let prompts = wanted["prompts"]?.arrayValue {
      #expect(task.leads(for: row).map { prompt + $0 } == prompts.map { $0.stringValue }, place)
    } else {
      let asked = try #require(wanted["prompt"]?.stringValue)
      func words(_ text: String) -> [Substring] { text.split(whereSeparator: \.isWhitespace) }
      let isTrimmed = comparison.trimmed.contains(row.line)
      #expect(isTrimmed ? words(prompt) == words(asked) : prompt == asked, place)
    }
    guard let continuations = wanted["continuations"]?.arrayValue?.compactMap(\.stringValue) else {
      let stops = wanted["stop"]?.arrayValue?.compactMap(\.stringValue)
      if !comparison.hasOwnStops { #expect(task.stops(chat: false) == stops, place) }
      return
    }
    let ours = task.continuations(for: row)
    if comparison.trimmed.contains(row.line) {
      #expect(ours == continuations.map { " " + $0.trimmingBlanks() }, place)
    } else {
      #expect(ours == continuations, place)
    }
    #expect(row.gold == wanted["gold"]?.integerValue.map(Int.init), place)
  }

  @Test func everySetIsComparedOrNamed() throws {
    let files = try FileManager.default.contentsOfDirectory(atPath: Self.folder)
    let sets = Set(files.filter { $0.hasSuffix(".expected.jsonl") }.map { String($0.dropLast(15)) })
    #expect(sets == Set(Self.compared.map(\.testDescription)).union(Self.notOffered))
    #expect(Self.notOffered.isDisjoint(with: Self.compared.map(\.testDescription)))
  }
}
