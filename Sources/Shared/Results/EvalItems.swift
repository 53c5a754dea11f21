/// The eval rows that a search's mixture wins or loses against the base or against the best single expert, with what
/// each of the three answered, so that people can see what a score is made of.
package struct EvalItems: Codable, Sendable, Equatable {
  /// More are counted and not kept; and so are characters of a text beyond this. A result stays some hundred kilobytes.
  package static let maximumItems = 200
  package static let maximumQuestion = 600
  package static let maximumAnswer = 160

  package struct Answer: Codable, Sendable, Equatable {
    package var text: String
    package var isRight: Bool

    private enum CodingKeys: String, CodingKey {
      case text
      case isRight = "right"
    }

    package init(text: String, isRight: Bool) {
      self.text = text
      self.isRight = isRight
    }
  }

  package struct Item: Codable, Sendable, Equatable {
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
}
