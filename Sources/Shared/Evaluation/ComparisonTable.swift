/// Several strategies on the same rows, in the manner of table 2 of arXiv 2501.06252, with what that table lacks: an
/// interval for every score and a paired test for every difference.
package struct ComparisonTable: Sendable {
  /// What one strategy made of the rows, in their order.
  package struct Column: Sendable {
    package let name: String
    package let isExpert: Bool
    package let right: [Bool]

    package init(name: String, isExpert: Bool = false, right: [Bool]) {
      self.name = name
      self.isExpert = isExpert
      self.right = right
    }
  }

  package struct Line: Sendable, Equatable {
    package let name: String
    package let count: Int
    package let correct: Int
    package let interval: WilsonInterval
    /// The line first, what it is compared with second; nil for that itself.
    package let versusBase: McNemarTest?
    package let versusBestExpert: McNemarTest?

    package var share: Double { Double(correct) / Double(max(1, count)) }
  }

  package let lines: [Line]
  /// The expert with the most right answers *on these very rows*, the first of equal ones: picked after the fact, so it
  /// flatters the expert, and whatever beats it beats it in spite of that.
  package let bestExpert: String?

  /// The first column is the base.
  package init(_ columns: [Column]) {
    precondition(!columns.isEmpty, "a comparison needs the base")
    let base = columns[0].right
    var best: Column?
    for column in columns where column.isExpert {
      let isBetter = best.map { column.right.count { $0 } > $0.right.count { $0 } } ?? true
      if isBetter { best = column }
    }
    bestExpert = best?.name
    lines = columns.enumerated().map { number, column in
      let correct = column.right.count { $0 }
      return Line(
        name: column.name, count: column.right.count, correct: correct,
        interval: WilsonInterval(successes: correct, of: column.right.count),
        versusBase: number == 0 ? nil : McNemarTest(first: column.right, second: base),
        versusBestExpert: best.flatMap {
          $0.name == column.name ? nil : McNemarTest(first: column.right, second: $0.right)
        })
    }
  }
}
