package import Engines
package import Evaluation
package import LinearAlgebra
import Glibc
import Tokenizer

/// The first pass: which of some labels a request belongs to (arXiv 2501.06252, section 3.2; strategy A under the base,
/// B under a dispatcher expert).
///
/// The model is asked by a template and answers with `\boxed{label}`. The answer is read in one of two ways. *Generated*,
/// the last `\boxed{}` counts, and what is none of the labels is `other`, the base. *Scored*, the answer is begun with
/// `\boxed{` and each label is worth the log-likelihood of `label}` after it; the most likely one is chosen.
///
/// Either way the probabilities are the softmax of the labels' summed log-likelihoods, without division by their length: with its
/// closing brace no label is the beginning of another, so they are disjoint answers, the sums are logarithms of their
/// probabilities, and the softmax is each label's probability given that the answer is one of them. A mean per token
/// or character would favour long names, whose later tokens are certain once the first is there.
package struct Dispatcher: Sendable {
  /// What the first pass decided.
  package struct Outcome: Sendable, Equatable {
    package var label: String
    /// In the order of the labels.
    package var probabilities: [Double]
    /// What the model wrote, where the answer was generated.
    package var text: String?
    /// Why it is the last label though the model did not say so.
    package var note: String?
  }

  private let model: any Engine
  private let tokenizer: Tokenizer
  private let template: DispatchTemplate
  /// The last one is `other`.
  package let labels: [String]
  /// `label}` in tokens, as they follow `\boxed{`.
  private let answers: [[Int32]]

  package init(
    _ template: DispatchTemplate, labels: [String], for model: any Engine
  ) throws(DispatcherError) {
    guard let tokenizer = model.facts.tokenizer else { throw .noTokenizer(model: model.facts.modelID) }
    guard labels.count > 1 else { throw .noLabels }
    self.model = model
    self.tokenizer = tokenizer
    self.template = template
    self.labels = labels
    let opening = PromptText.text(BoxedAnswer.opening)
    var answers: [[Int32]] = []
    for label in labels {
      let tokens = tokenizer.continuation(label + "}", of: opening)
      guard !tokens.isEmpty else { throw .emptyLabel(label) }
      answers.append(tokens)
    }
    self.answers = answers
  }

  /// The question in tokens, ready for the model's answer, of which `begun` is there already.
  package func question(_ prompt: String, begun: String = "") throws(DispatcherError) -> [Int32] {
    let text = template.render(labels: labels, prompt: prompt)
    let asked: PromptText
    switch model.facts.chatTemplate {
    case .success(let chat):
      do throws(ChatTemplateError) {
        asked = .chat(try chat.pieces([.user(text)])).appending(begun)
      } catch {
        throw .chat(error.description)
      }
    case .failure: asked = .text(text + "\n" + begun)
    }
    let tokens = tokenizer.encode(asked)
    // Room for an answer belongs to the question: a model that can read it and not answer has not decided.
    let needed = tokens.count + (answers.map(\.count).max() ?? 0)
    guard needed <= model.facts.context else {
      throw .tooLong(tokens: needed, context: model.facts.context)
    }
    return tokens
  }

  /// The question and its possible answers, as they are scored: what a dispatcher expert is trained on.
  package func item(_ prompt: String, begun: String = BoxedAnswer.opening) throws(DispatcherError) -> ScoringItem {
    ScoringItem(prompt: try question(prompt, begun: begun), continuations: answers)
  }

  /// The answer by scoring; `priority` is also that of the passes, which have at most `pieceRows` rows.
  package func score(
    _ prompt: String, under view: WeightView, inPiecesOf pieceRows: Int, priority: ComputePool.Priority
  ) throws(DispatcherError) -> Outcome {
    outcome(try likelihoods(try item(prompt), under: view, inPiecesOf: pieceRows, priority: priority))
  }

  /// The answers to several questions by scoring, computed together: the template's beginning, which they share, once.
  package func score(
    _ items: [ScoringItem], under view: WeightView, priority: ComputePool.Priority
  ) throws(DispatcherError) -> [Outcome] {
    do throws(EngineError) {
      return try model.score(items, under: view, priority: priority).map { outcome($0.map(\.sum)) }
    } catch {
      throw .model(error)
    }
  }

  private func outcome(_ sums: [Double]) -> Outcome {
    // Of equal ones the first, whose order is that of names: a tie is decided in the same way every time.
    let best = sums.indices.max { (sums[$0], -$0) < (sums[$1], -$1) } ?? labels.count - 1
    return Outcome(label: labels[best], probabilities: softmax(sums))
  }

  /// Of the label that was chosen.
  package func probability(of outcome: Outcome) -> Double {
    labels.firstIndex(of: outcome.label).map { outcome.probabilities[$0] } ?? 0
  }

  /// The request whose answer ``read(_:to:under:inPiecesOf:priority:)`` reads.
  package func request(
    _ prompt: String, under view: WeightView, maximumTokens: Int
  ) throws(DispatcherError) -> GenerationRequest {
    GenerationRequest(
      prompt: try question(prompt), view: view, maximumTokens: maximumTokens,
      stopIDs: model.facts.endIDs)
  }

  /// The answer from a generated text. The probabilities are those of the labels where the model answered, after what
  /// it wrote before.
  package func read(
    _ text: String, to prompt: String, under view: WeightView, inPiecesOf pieceRows: Int,
    priority: ComputePool.Priority
  ) throws(DispatcherError) -> Outcome {
    let answer = BoxedAnswer(lastIn: text)
    let before = answer?.before ?? text + (text.isEmpty ? "" : "\n") + BoxedAnswer.opening
    let sums = try likelihoods(
      try item(prompt, begun: before), under: view, inPiecesOf: pieceRows, priority: priority)
    var outcome = Outcome(label: labels[labels.count - 1], probabilities: softmax(sums), text: text)
    if let answer {
      if let label = answer.label(of: labels) {
        outcome.label = label
      } else {
        outcome.note = "the model answered '\(answer.content.prefix(64))', which is none of the labels"
      }
    } else {
      outcome.note = "the model gave no \\boxed{} answer"
    }
    return outcome
  }

  private func likelihoods(
    _ item: ScoringItem, under view: WeightView, inPiecesOf pieceRows: Int, priority: ComputePool.Priority
  ) throws(DispatcherError) -> [Double] {
    do throws(EngineError) {
      return try model.score(item, under: view, inPiecesOf: pieceRows, priority: priority).map(\.sum)
    } catch {
      throw .model(error)
    }
  }
}

/// e^x over their sum, safe for sums far below zero.
func softmax(_ logarithms: [Double]) -> [Double] {
  guard let largest = logarithms.max() else { return [] }
  let weights = logarithms.map { exp($0 - largest) }
  let total = weights.reduce(0, +)
  return weights.map { $0 / total }
}

/// What keeps a model from deciding.
package enum DispatcherError: Error, CustomStringConvertible {
  case noTokenizer(model: String)
  case noLabels
  case emptyLabel(String)
  case tooLong(tokens: Int, context: Int)
  case chat(String)
  case model(EngineError)

  package var description: String {
    switch self {
    case .noTokenizer(let model):
      "the model '\(model)' has no tokenizer, so it cannot be asked for a label; put its tokenizer.json beside the weights"
    case .noLabels: "there is no label to choose but 'other'; an expert must be active"
    case .emptyLabel(let label): "the label '\(label)' has no tokens"
    case .tooLong(let tokens, let context):
      "the prompt within the dispatch template needs \(tokens) tokens, the model's context holds \(context); shorten it, "
        + "or choose the weights with --expert or --strategy none"
    case .chat(let problem): "the question cannot be put as a chat: \(problem)"
    case .model(let error): error.description
    }
  }
}
