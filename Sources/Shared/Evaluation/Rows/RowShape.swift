import StrictJSON

/// A form in which rows are published: the fields that tell it, and what is made of them.
struct RowShape: Sendable {
  typealias Reader = @Sendable (inout RowFields) throws(TaskFileError) -> RowContent

  /// Fields that a row of this shape has, as the manual lists them; of words with `/` between them one.
  let fields: String
  let summary: String
  /// Fields that are known and are no part of what is asked.
  let passes: [String]
  /// The first rules by which it is read.
  let since: RowReading
  /// What it is called in `template`; nil: it has no name there.
  let template: String?
  /// False where it is only taken when `template` names it.
  let isDefault: Bool
  /// What the fields do not tell.
  let fits: @Sendable (RowFields) -> Bool
  let read: Reader
  /// Each a list of names of which a row must have one.
  let required: [[String]]

  init(
    fields: String, summary: String, passes: [String] = [], since: RowReading = .second, template: String? = nil,
    isDefault: Bool = true, fits: @escaping @Sendable (RowFields) -> Bool = { _ in true }, read: @escaping Reader
  ) {
    (self.fields, self.summary, self.passes, self.since) = (fields, summary, passes, since)
    (self.template, self.isDefault, self.fits, self.read) = (template, isDefault, fits, read)
    required = fields.replacing(/\ \{.*?\}/, with: "").split(separator: ",").map { names in
      names.split(separator: " ").first.map { $0.split(separator: "/").map(String.init) } ?? []
    }
  }

  func isShape(of row: RowFields) -> Bool {
    required.allSatisfy { row.first(of: $0) != nil } && fits(row)
  }

  /// In the order in which they are tried.
  static let all = code + chats + choices + generated + named

  /// The one to read a row by; nil where none fits.
  static func shape(of row: RowFields) -> RowShape? {
    if let name = row.rules.template?.shapeName {
      let named = all.filter { $0.template == name }
      return named.first { $0.isShape(of: row) }
    }
    let reading = row.rules.reading
    return all.first { shape in
      shape.isDefault && (reading > .first || shape.since == .first) && shape.isShape(of: row)
    }
  }

  /// The names that `template` may have.
  static let templates = all.compactMap(\.template).reduce(into: [String]()) { names, name in
    if !names.contains(name) { names.append(name) }
  }
}

// MARK: - Code

extension RowShape {
  private static let code = [
    RowShape(
      fields: "prompt, test, entry_point", summary: "Code to be completed, as in HumanEval.",
      since: .first
    ) { (row) throws(TaskFileError) in
      let solution = try row.optionalText("canonical_solution", for: .answer)
      return RowContent(
        .code(
          CodeProblem(
            prompt: try row.text("prompt"), tests: [try row.text("test", for: .answer)],
            entryPoint: try row.text("entry_point", for: .answer), solution: solution)),
        solution: solution)
    },
    RowShape(
      fields: "text/prompt, test_list", summary: "Code to be written, as in MBPP.",
      passes: ["challenge_test_list", "source_file"], since: .first
    ) { (row) throws(TaskFileError) in
      let solution = try row.optionalText("code", for: .answer)
      let imports = row.has("test_imports") ? try row.texts("test_imports", for: .answer) : []
      let setUp = [try row.optionalText("test_setup_code", for: .answer)].compactMap(\.self)
      return RowContent(
        .code(
          CodeProblem(
            prompt: try row.text(row.has("text") ? "text" : "prompt"), tests: try row.texts("test_list"),
            entryPoint: nil, solution: solution, setUp: (imports + setUp).joined(separator: "\n"))),
        solution: solution)
    },
  ]
}
