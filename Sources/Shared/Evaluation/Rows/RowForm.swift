/// How a row is put to a model where its task has no template of its own, and the shape of the row says more of it than
/// that it asks a question.
package struct RowForm: Sendable, Equatable {
  /// By which results name it: `harness/hellaswag`, or a template.
  var name: String
  /// What stands before the answer, without a chat template.
  var text: String
  /// The same as turns of a chat; nil: a user who says the text.
  var messages: [PromptMessage]?
  /// What is scored, one a choice, with what parts it from the prompt; nil: a space and the choice.
  var continuations: [String]?
  /// What stands between the prompt and each continuation and is not scored.
  var leads: [String]?
  /// What ends a generation; nil: what ends those of all rows.
  var stops: [String]?
  /// How the answer is found in a generated text.
  var extract: [ExtractionRule]?
}

/// What a shape makes of a row.
struct RowContent {
  var content: TaskRow.Content
  var form: RowForm?
  /// The right answer as the row writes it, with the way to it; nil where it is one of choices.
  var solution: String?

  init(_ content: TaskRow.Content, form: RowForm? = nil, solution: String? = nil) {
    (self.content, self.form, self.solution) = (content, form, solution)
  }
}
