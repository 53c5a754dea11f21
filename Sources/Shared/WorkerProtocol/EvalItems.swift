package import StrictJSON

/// The eval rows that a search's mixture wins or loses against the base or against the best single expert, with what
/// each of the three answered, so that people can see what a score is made of.
package struct EvalItems: Sendable, Equatable {
  /// More are counted and not kept; and of a text so many characters. A result stays some hundred kilobytes.
  package static let maximumItems = 200
  package static let maximumQuestion = 600
  package static let maximumAnswer = 160

  package struct Answer: Sendable, Equatable {
    package var text: String
    package var isRight: Bool

    package init(text: String, isRight: Bool) {
      self.text = text
      self.isRight = isRight
    }

    var json: JSONValue { object([("text", .string(text)), ("right", .bool(isRight))]) }

    init(decoding value: JSONValue, _ path: String) throws(WorkerProtocolError) {
      let fields = try Fields(value, path)
      self.init(text: try fields.string("text"), isRight: try fields.bool("right"))
    }
  }

  package struct Item: Sendable, Equatable {
    package var id: String
    package var line: Int
    package var question: String
    package var gold: String
    package var base: Answer
    package var bestExpert: Answer
    package var mixture: Answer

    package init(
      id: String, line: Int, question: String, gold: String, base: Answer, bestExpert: Answer, mixture: Answer
    ) {
      self.id = id
      self.line = line
      self.question = question
      self.gold = gold
      self.base = base
      self.bestExpert = bestExpert
      self.mixture = mixture
    }

    var json: JSONValue {
      object([
        ("id", .string(id)), ("line", .integer(Int64(line))), ("question", .string(question)), ("gold", .string(gold)),
        ("base", base.json), ("best_expert", bestExpert.json), ("mixture", mixture.json),
      ])
    }

    init(decoding value: JSONValue, _ path: String) throws(WorkerProtocolError) {
      let fields = try Fields(value, path)
      self.init(
        id: try fields.string("id"), line: try fields.integer("line"), question: try fields.string("question"),
        gold: try fields.string("gold"), base: try Answer(decoding: try fields.value("base"), "\(path).base"),
        bestExpert: try Answer(decoding: try fields.value("best_expert"), "\(path).best_expert"),
        mixture: try Answer(decoding: try fields.value("mixture"), "\(path).mixture"))
    }
  }

  /// The name of the best single expert.
  package var bestExpert: String
  /// How many rows differ; `items` are the first of them.
  package var differing: Int
  package var items: [Item]

  package init(bestExpert: String, differing: Int, items: [Item]) {
    self.bestExpert = bestExpert
    self.differing = differing
    self.items = items
  }

  package var json: JSONValue {
    object([
      ("best_expert", .string(bestExpert)), ("differing", .integer(Int64(differing))), ("items", list(items, \.json)),
    ])
  }

  package init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "eval_items")
    self.init(
      bestExpert: try fields.string("best_expert"), differing: try fields.integer("differing"),
      items: try fields.each("items") { (value, path) throws(WorkerProtocolError) in
        try Item(decoding: value, path)
      })
  }
}
