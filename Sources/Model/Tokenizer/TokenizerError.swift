import StrictJSON

/// Why a tokenizer could not be made. Encoding and decoding themselves never fail.
package enum TokenizerError: Error, Equatable, CustomStringConvertible {
  case unsupportedModel(found: String)
  case unsupportedPreTokenizer(found: String, supported: [String])
  /// The regular expression of a `Split`.
  case unknownExpression(String)
  case unsupportedFeature(place: String, found: String, supported: String)
  case emptyVocabulary
  case tooMany(what: String, found: Int, allowed: Int)
  case typeCount(types: Int, tokens: Int)
  case tokenType(index: Int, found: Int)
  case emptyToken(index: Int)
  case duplicateToken(text: String, first: Int, second: Int)
  case malformedMerge(index: Int, text: String)
  case unknownTokenInMerge(index: Int, text: String, token: String)
  case duplicateMerge(index: Int, text: String)
  case idOutOfRange(name: String, found: Int, vocabulary: Int)
  /// A gap in the ids in front of `next`.
  case missingIDs(first: Int, last: Int, next: String)
  case scoreCount(scores: Int, tokens: Int)
  case score(index: Int, found: Double)
  case tooLong(index: Int, bytes: Int, allowed: Int, why: String)
  case json(String)
  case configuration(String)

  package var description: String {
    switch self {
    case .unsupportedModel(let found):
      "the tokenizer model \(quoted(found)) is not supported yet; BPE is ('gpt2' and 'llama' in GGUF, 'BPE' in tokenizer.json)"
    case .unsupportedPreTokenizer(let found, let supported):
      "the pre-tokenizer \(quoted(found)) is not supported yet; supported: \(supported.joined(separator: ", "))"
    case .unknownExpression(let expression):
      "tokenizer.json: words are cut by an expression that is not known: \(quoted(expression, atMost: 600)); known are those of "
        + "Llama 3, Qwen2, Mistral (Tekken) and GPT-2"
    case .unsupportedFeature(let place, let found, let supported):
      "tokenizer.json: \(place) is \(found.excerpt), which is not supported yet; supported: \(supported)"
    case .emptyVocabulary:
      "the tokenizer has no tokens; is the model file complete?"
    case .tooMany(let what, let found, let allowed):
      "the tokenizer has \(found) \(what), at most \(allowed) are allowed"
    case .typeCount(let types, let tokens):
      "the tokenizer has \(types) token types for \(tokens) tokens; every token needs one"
    case .tokenType(let index, let found):
      "token \(index) has the type \(found); types are 1 to 6"
    case .emptyToken(let index):
      "token \(index) is empty; every token stands for at least one byte"
    case .duplicateToken(let text, let first, let second):
      "tokens \(first) and \(second) are both \(quoted(text)); a text has one id"
    case .malformedMerge(let index, let text):
      "merge \(index) is \(quoted(text)); expected two tokens with one space between them"
    case .unknownTokenInMerge(let index, let text, let token):
      "merge \(index), \(quoted(text)), needs the token \(quoted(token)), which the vocabulary does not have"
    case .duplicateMerge(let index, let text):
      "merge \(index), \(quoted(text)), stands there twice"
    case .idOutOfRange(let name, let found, let vocabulary):
      "\(name) is token \(found), the vocabulary has \(vocabulary) tokens"
    case .missingIDs(let first, let last, let next):
      "tokenizer.json: no token has the \(first == last ? "id \(first)" : "ids \(first) to \(last)"), and "
        + "\(quoted(next)) has \(last + 1); ids have no gap: add to 'added_tokens' what is missing"
    case .scoreCount(let scores, let tokens):
      "the tokenizer has \(scores) scores for \(tokens) tokens; every token needs one"
    case .score(let index, let found):
      "the score of token \(index) is \(found); scores are numbers that can be ordered"
    case .tooLong(let index, let bytes, let allowed, let why):
      "token \(index) has \(bytes) bytes; at most \(allowed) are allowed \(why)"
    case .json(let problem):
      "tokenizer.json: \(problem)"
    case .configuration(let problem):
      "tokenizer_config.json: \(problem)"
    }
  }
}

/// A text from a file, short and on one line, for a message.
func quoted(_ text: String, atMost limit: Int = 160) -> String {
  var shown = "'"
  var count = 0
  for scalar in text.unicodeScalars {
    if count == limit {
      shown += "..."
      break
    }
    count += 1
    switch scalar {
    case "\n": shown += "\\n"
    case "\t": shown += "\\t"
    case "\r": shown += "\\r"
    default:
      if scalar.value < 0x20 || scalar.value == 0x7F {
        shown += "\\u{" + String(scalar.value, radix: 16) + "}"
      } else {
        shown.unicodeScalars.append(scalar)
      }
    }
  }
  return shown + "'"
}
