package import Tokenizer

/// An answer as it comes, token by token: its text, and whether a token was the last one.
package struct AnswerText {
  package let number: Int
  package private(set) var tokens: [Int32] = []
  package private(set) var ending: Generation.Ending?
  private let request: GenerationRequest
  private var text = ""
  private var decoder: StreamingDecoder?
  private var filter: StopFilter

  package init(_ number: Int, _ request: GenerationRequest, _ tokenizer: Tokenizer?) {
    self.number = number
    self.request = request
    decoder = tokenizer.map { StreamingDecoder($0, skipSpecial: true) }
    filter = StopFilter(request.stopStrings)
  }

  /// Appends a token, and decides whether it was the last.
  /// - Parameter isFull: no place of the context is left behind it.
  package mutating func take(_ id: Int32, isFull: Bool) -> GeneratedToken {
    tokens.append(id)
    var piece = ""
    if request.stopIDs.contains(id) {
      ending = .stopToken(id)
    } else {
      piece = filter.push(decoder?.push(id) ?? "")
      if filter.hasStopped {
        ending = .stopString
      } else if tokens.count >= request.maximumTokens {
        ending = .maximumTokens
      } else if isFull {
        ending = .context
      }
    }
    if ending != nil, !filter.hasStopped {
      piece += filter.push(decoder?.finish() ?? "") + filter.finish()
    }
    text += piece
    return GeneratedToken(request: number, id: id, text: piece, ending: ending)
  }

  package func generation(_ ending: Generation.Ending) -> Generation {
    Generation(tokens: tokens, text: text, ending: ending)
  }
}
