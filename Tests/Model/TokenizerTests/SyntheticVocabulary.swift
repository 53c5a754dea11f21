import ModelFormats
@testable import Tokenizer

/// 256 byte tokens, the given merges and a few special tokens: small enough to build in every test.
struct SyntheticVocabulary {
  var tokens = (0..<256).map { String(decoding: ByteAlphabet.text(of: UInt8($0)), as: UTF8.self) }
  var types = [Int32](repeating: 1, count: 256)
  var merges: [String] = []

  init(merges: [String] = [], special: [String] = [], userDefined: [String] = []) {
    for merge in merges { add(merge.replacing(" ", with: "")) }
    self.merges = merges
    for text in special { add(text, type: 3) }
    for text in userDefined { add(text, type: 4) }
  }

  mutating func add(_ token: String, type: Int32 = 1) {
    tokens.append(token)
    types.append(type)
  }

  func tokenizer(pre: String = "gpt-2", bos: Int? = nil, eos: Int? = nil) throws(TokenizerError) -> Tokenizer {
    try .gguf(GGUFTokenizer(pre: pre, tokens: tokens, types: types, merges: merges, bos: bos, eos: eos))
  }
}
