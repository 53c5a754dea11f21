import StrictJSON

/// The known shape that a row of none comes closest to, and the names that would make it one.
struct NearestShape: CustomStringConvertible {
  private let shape: RowShape
  /// Our names, and the row's where there is one for it.
  private let missing: [(ours: String, theirs: String?)]

  /// Names of the shape that nothing stands for, and texts of the row that would be left.
  private let distance: Int

  /// Words that mean the same in rows.
  private static let synonyms: [Set<String>] = [
    [
      "question", "query", "q", "ask", "problem", "prompt", "input", "instruction", "text", "stem", "sentence", "ctx",
      "request",
    ],
    [
      "answer", "reply", "a", "response", "completion", "output", "target", "solution", "gold", "label", "ideal",
      "reference",
      "correct", "correct_answer", "answer_key", "answerkey", "result",
    ],
    ["choices", "options", "endings", "alternatives", "candidates", "answers", "answer_choices", "options_list"],
  ]

  init?(to row: RowFields) {
    var best: NearestShape?
    for shape in RowShape.all where shape.isDefault {
      let names = shape.required
      var free = row.members.keys.filter { key in row.holds(key) && !names.contains { $0.contains(key) } }
      var missing: [(String, String?)] = []
      for alternatives in names where row.first(of: alternatives) == nil {
        let match = free.firstIndex { Self.mean(alternatives[0], $0.lowercased()) }
        missing.append((alternatives[0], match.map { free.remove(at: $0) }))
      }
      guard missing.contains(where: { $0.1 != nil }) || missing.count < names.count, !missing.isEmpty else { continue }
      let left = free.count { RowFields.hasText(row.members[$0] ?? .null) }
      let found = NearestShape(shape: shape, missing: missing, distance: missing.count { $0.1 == nil } + left)
      // Of equals the one of fewer names to be given.
      if let known = best, (known.distance, known.missing.count) <= (found.distance, found.missing.count) { continue }
      best = found
    }
    guard let best else { return nil }
    self = best
  }

  private init(shape: RowShape, missing: [(ours: String, theirs: String?)], distance: Int) {
    (self.shape, self.missing, self.distance) = (shape, missing, distance)
  }

  private static func mean(_ ours: String, _ theirs: String) -> Bool {
    ours.lowercased() == theirs || synonyms.contains { $0.contains(ours) && $0.contains(theirs) }
  }

  var description: String {
    let names = missing.compactMap { pair in pair.theirs.map { "\(pair.ours): \"\($0.excerpt)\"" } }
    let absent = missing.filter { $0.theirs == nil }.map { "'\($0.ours)'" }
    let lacking = absent.isEmpty ? "" : ", and it lacks \(absent.joined(separator: ", "))"
    return "the nearest is '\(shape.fields)'"
      + (names.isEmpty ? lacking : "; in task.json5: fields: { \(names.joined(separator: ", ")) }\(lacking)")
  }
}
