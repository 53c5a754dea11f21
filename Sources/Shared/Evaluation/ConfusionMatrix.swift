/// How often each true label was given each label (arXiv 2501.06252, figure 6).
package struct ConfusionMatrix: Sendable, Equatable {
  /// The last is `other`, the base model.
  package let labels: [String]
  /// [true label][given label]
  package private(set) var counts: [[Int]]

  package init(labels: [String]) {
    self.labels = labels
    counts = labels.map { _ in labels.map { _ in 0 } }
  }

  /// Both must be labels.
  package mutating func add(truth: String, given: String) {
    guard let row = labels.firstIndex(of: truth), let column = labels.firstIndex(of: given) else {
      preconditionFailure("'\(truth)' or '\(given)' is none of \(labels)")
    }
    counts[row][column] += 1
  }

  package var total: Int { counts.reduce(0) { $0 + $1.reduce(0, +) } }
  package var correct: Int { labels.indices.reduce(0) { $0 + counts[$1][$1] } }
  /// How many were given to the base, whatever their label.
  package var other: Int { counts.reduce(0) { $0 + ($1.last ?? 0) } }

  package var accuracy: Double { Double(correct) / Double(max(1, total)) }
  package var otherShare: Double { Double(other) / Double(max(1, total)) }
  package var interval: WilsonInterval { WilsonInterval(successes: correct, of: total) }
}
