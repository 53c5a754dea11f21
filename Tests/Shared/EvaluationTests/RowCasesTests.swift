import Foundation
import TestSupport
import Testing

@testable import Evaluation

/// Files as people have them, and what each must get. Those of the table are in Fixtures/cases.
struct RowCasesTests {
  enum Outcome: Sendable {
    /// The first row's prompt, without chat template, its choices or its right answer, and a piece of each warning.
    case read(rows: Int, String, choices: [String], gold: String, warnings: [String] = [])
    /// Pieces of the message.
    case refused([String])

    static func refused(_ pieces: String...) -> Outcome { .refused(pieces) }

    static func read(_ rows: Int, _ prompt: String, gold: String, warnings: [String] = []) -> Outcome {
      .read(rows: rows, prompt, choices: [], gold: gold, warnings: warnings)
    }
    static func read(
      _ rows: Int, _ prompt: String, _ choices: [String], gold: Int, warnings: [String] = []
    ) -> Outcome {
      .read(rows: rows, prompt, choices: choices, gold: choices[gold], warnings: warnings)
    }
  }

  struct Case: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let outcome: Outcome
    var settings: String?

    init(_ file: String, _ outcome: Outcome, settings: String? = nil) {
      (testDescription, self.outcome, self.settings) = (file, outcome, settings)
    }
  }

  private static let gases = [" oxygen", " carbon dioxide", " helium", " neon"]
  private static let gas = "Question: Which gas do plants absorb?\nAnswer:"
  private static let bees = "Question: What do bees make?\nAnswer:"
  private static let alpaca = """
    Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately completes the request.

    ### Instruction:
    INSTRUCTION

    ### Input:
    INPUT

    ### Response:

    """

  private static func alpaca(_ instruction: String, _ input: String) -> String {
    alpaca.replacing("INSTRUCTION", with: instruction).replacing("INPUT", with: input)
  }

  private static let cases = [
    Case(
      "alpaca.jsonl", .read(3, alpaca("Answer with the opposite of the given word, in one word.", "hot"), gold: "cold")),
    Case("array.jsonl", .read(2, bees, gold: "honey")),
    Case("bigid.jsonl", .read(2, bees, gold: "honey")),
    Case("bom.jsonl", .read(2, bees, gold: "honey")),
    Case(
      "boolq.jsonl",
      .read(
        2,
        "The Ara is a river of 240 km in a land that was made up.\nQuestion: is the river in the text longer than 100 km?\nAnswer:",
        [" no", " yes"], gold: 1, warnings: ["not read: 'title'"])),
    Case("cp1252.jsonl", .refused("cp1252.jsonl, line 1: not JSON: byte 0xe9 is not UTF-8", "iconv -f WINDOWS-1252")),
    Case("crlf.jsonl", .read(2, bees, gold: "honey")),
    Case(
      "dolly.jsonl",
      .read(
        1, alpaca("Who charted the Ara?", "The Ara was charted in 1871 by a ship's cook."), gold: "a ship's cook",
        warnings: ["not read: 'category'"])),
    Case("dpo.jsonl", .read(1, "Say yes.", gold: "Yes.", warnings: ["not read: 'rejected'"])),
    Case(
      "equal.jsonl",
      .read(
        2, "Question: Which is a gas?\nAnswer:", [" iron", " neon", " salt", " wood"], gold: 1,
        warnings: ["line 2: choices 3 and 4 are equal: 'True, False'; the row is passed over"])),
    Case(
      "equal.jsonl", .refused("equal.jsonl, line 2: choices 3 and 4 are equal"), settings: "{ skipped_rows: 0 }"),
    Case(
      "gsmunits.jsonl",
      .read(
        5, "Question: A farm sells 12 crates for $100 each and 34 more dollars. How much is that?\nAnswer:",
        gold: "1,234"
      )),
    Case(
      "hellaswag.jsonl",
      .read(
        2, "Baking: A man mixes flour and water. He",
        [" kneads the dough.", " flies to the moon.", " paints a car.", " sells a horse."], gold: 0,
        warnings: ["not read: 'split'"])),
    Case("html.jsonl", .refused("this is a web page, with the title 'Sign in', and no file of rows", "download")),
    Case(
      "indexvalue.jsonl",
      .refused("line 1: the answer is an index from 0 and also the text of another choice", "digits: \"index\"")),
    Case(
      "indexvalue.jsonl", .read(3, "Question: What is 3 minus 2?\nAnswer:", [" 4", " 2", " 1", " 3"], gold: 2),
      settings: "{ digits: 'text' }"),
    Case(
      "instrqa.jsonl",
      .read(2, "Answer in French.\n\nQuestion: What is the capital of Spain?\nAnswer:", gold: "Madrid")),
    Case(
      "legacy.jsonl",
      .read(
        2, "Company: Zub Ltd\nOn list:\n\n###\n\n", gold: "yes END",
        warnings: ["every completion ends in 'END'", "stop: [\" END\"]"])),
    Case(
      "legacy.jsonl", .read(2, "Company: Zub Ltd\nOn list:\n\n###\n\n", gold: "yes"), settings: "{ stop: [' END'] }"),
    Case("manybad.jsonl", .refused("3 rows are bad: ", "line 3: ", "line 7: ", "line 11: the answer '5' is not")),
    Case(
      "mmlupro.jsonl",
      .read(
        2,
        "Which planet is the largest?\nA. Mars\nB. Venus\nC. Jupiter\nD. Mercury\nE. Earth\nF. Saturn\nG. Pluto\nH. Uranus\n"
          + "I. Neptune\nJ. Ceres\nAnswer:", [" A", " B", " C", " D", " E", " F", " G", " H", " I", " J"], gold: 2,
        warnings: ["not read: 'category', 'src'"])),
    Case("nan.jsonl", .read(1, bees, gold: "honey")),
    Case("oaievals.jsonl", .read(1, "Be short.\n\n2+2?", gold: "4")),
    Case("obqa.jsonl", .read(1, "Frogs lay eggs in", [" deserts", " ponds", " clouds", " fire"], gold: 1)),
    Case(
      "pandasfloat.jsonl", .read(3, "Question: What is 7 plus 5? Answer with a number only.\nAnswer:", gold: "12")),
    Case("pandasindex.jsonl", .read(2, gas, gases, gold: 1)),
    Case("parts.jsonl", .read(1, "Say yes.", gold: "Yes.")),
    Case(
      "piqa.jsonl",
      .read(1, "Question: To open a tin,\nAnswer:", [" use a tin opener.", " use a spoon of milk."], gold: 0)),
    Case("pretty.jsonl", .read(2, bees, gold: "honey")),
    Case("qspace.jsonl", .read(2, "The capital of France is", gold: "Paris")),
    Case(
      "race.jsonl",
      .read(
        2,
        "Article: Tom has a red kite. His sister has a blue one.\n\nWhat colour is the sister's kite?",
        [" red", " blue", " green", " white"], gold: 1, warnings: ["not read: 'example_id'"])),
    Case("sentiment.jsonl", .read(2, "Text: A wonderful film.\nLabel:", [" negative", " positive"], gold: 1)),
    Case("sharegpt.jsonl", .read(1, "Say yes.", gold: "Yes.")),
    Case("spaces.jsonl", .read(3, gas, gases, gold: 1)),
    Case(
      "squadlike.jsonl",
      .read(
        2,
        "Background: The Ara is a river of 240 km. It was charted in 1871 by a ship's cook.\n\n"
          + "Question: In which year was the Ara charted?\n\nAnswer:", gold: "1871")),
    Case("surrogate.jsonl", .refused("surrogate.jsonl, line 1: not JSON: \\ud83d is one half of a surrogate pair")),
    Case("tblank.jsonl", .read(1, gas, gases, gold: 1)),
    Case("tclean.jsonl", .read(1, gas, gases, gold: 1)),
    Case("tlead.jsonl", .read(1, gas, gases, gold: 1)),
    Case("tq.jsonl", .read(1, gas, gases, gold: 1)),
    Case("tools.jsonl", .refused("line 1: 'messages' calls a tool in message 3")),
    Case("trl.jsonl", .read(1, "Say yes.", gold: "Yes.")),
    Case(
      "winogrande.jsonl",
      .read(
        1, "The cup did not fit into the bag because the", [" was too big.", " was too big."], gold: 0,
        warnings: ["not read: 'qID'"])),
  ]

  @Test(arguments: cases) func aFileGetsWhatItMust(_ sample: Case) throws {
    let path = Bundle.module.bundlePath + "/Fixtures/cases/" + sample.testDescription
    let files = TaskDefinition.Files(
      fewshot: .init(name: sample.testDescription, bytes: Array(try Data(contentsOf: URL(fileURLWithPath: path)))),
      settings: sample.settings.map { .init(name: "task.json5", bytes: Array($0.utf8)) })
    switch sample.outcome {
    case .read(let rows, let prompt, let choices, let gold, let warnings):
      let task = try TaskDefinition(name: "t", files: files)
      let row = task.shots[0]
      #expect(task.shots.count == rows)
      #expect(task.plainPrompt(for: row) == prompt)
      #expect(task.continuations(for: row) == choices)
      #expect(row.gold.map { choices[$0] } ?? row.goldAnswer == gold)
      #expect(task.warnings.isEmpty == warnings.isEmpty, "\(task.warnings)")
      for warning in warnings { #expect(task.warnings.joined(separator: "\n").contains(warning)) }
    case .refused(let pieces):
      let error = TaskFixture.error { () throws(TaskFileError) in try TaskDefinition(name: "t", files: files) }
      let message = try #require(error).description
      for piece in pieces { #expect(message.contains(piece), "\(message)") }
    }
  }

  @Test func everyFileOfTheFolderIsInTheTable() throws {
    let files = try FileManager.default.contentsOfDirectory(atPath: Bundle.module.bundlePath + "/Fixtures/cases")
    #expect(Set(files) == Set(Self.cases.map(\.testDescription)))
  }
}

extension TaskDefinition {
  /// What a model without a chat template is given.
  func plainPrompt(for row: TaskRow) -> String? {
    switch prompt(for: row) {
    case .text(let text): text
    case .chat(_, let otherwise): otherwise
    }
  }
}
