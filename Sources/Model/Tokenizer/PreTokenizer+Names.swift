extension PreTokenizer {
  static let llama3 = PreTokenizer.words(WordScanner.Rules(digits: 3))
  static let qwen2 = PreTokenizer.words(WordScanner.Rules(digits: 1))
  static let tekken = PreTokenizer.words(WordScanner.Rules(digits: 1, splitsAtCapitals: true))

  /// GGUF's `tokenizer.ggml.pre`: names for which llama.cpp has the same expression.
  private static let ggufNames: [(PreTokenizer, [String])] = [
    (.gpt2, ["gpt-2", "phi-2", "gigachat", "a.x-4.0", "mellum", "exaone4", "trillion", "granite-docling"]),
    (.gpt2ThenDigits, ["smollm"]),
    (.llama3, llama3Names + ["smaug-bpe", "dbrx", "glm4", "glm5", "chatglm-bpe", "minicpm5"]),
    (.qwen2, qwen2Names + ["stablelm2", "hunyuan", "solar-open", "megrez"]),
    (.tekken, [tekkenName]),
  ]

  /// Those that also imply `ignore_merges` and a first token.
  static let namesWithFirstToken = llama3Names + [tekkenName]
  private static let llama3Names = [
    "llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
  ]
  private static let tekkenName = "tekken"
  /// Those whose tokenizer.json composes characters (NFC) first, which no GGUF file says.
  static let qwen2Names = ["qwen2", "deepseek-r1-qwen", "kormo"]

  /// `smollm` is read as `gpt2ThenDigits`, since the project's reference ids (Hugging Face's transformers on this very GGUF) are so. The
  /// other order, which SmolLM2's tokenizer.json and llama.cpp have, differs only where two or more blanks stand before a
  /// digit: there `\s+(?!\S)` does not see the digit and keeps the blanks together.
  package init(ggufName name: String) throws(TokenizerError) {
    guard let found = Self.ggufNames.first(where: { $0.1.contains(name) }) else {
      throw .unsupportedPreTokenizer(found: name, supported: Self.ggufNames.flatMap(\.1))
    }
    self = found.0
  }

  /// The expression of a `Split` in tokenizer.json, in any spelling of those that are cut here; nil where it is none.
  init?(expression: String) {
    // Line ends by themselves, scalar by scalar, since the two of them are one Character; and `++` and `?+`: what follows
    // cannot match a character that they would give back.
    let scalars = expression.unicodeScalars.map { $0 == "\r" ? "\\r" : $0 == "\n" ? "\\n" : String($0) }
    let text = scalars.joined().replacing("++", with: "+").replacing("?+", with: "?")
    if Self.gpt2Contractions.contains(where: { text == $0 + "|" + Self.gpt2Words }) {
      self = .gpt2
      return
    }
    if text == Self.tekkenWords + #"\p{N}"# + Self.punctuation("/") + #"[\r\n]+"# + Self.blanks {
      self = .tekken
      return
    }
    for (contractions, foldsLongS) in Self.contractions where text.hasPrefix(contractions + "|") {
      let words = text.dropFirst(contractions.count + 1)
      for (digits, numbers) in [(3, #"\p{N}{1,3}"#), (1, #"\p{N}"#), (Int.max, #"\p{N}+"#)] {
        // The last of the blanks before `[\r\n]` is a line end where `\s*` takes all before it.
        for lineEnds in [#"[\r\n]+"#, #"[\r\n]"#]
        where words == Self.wordsBefore + numbers + Self.punctuation("") + lineEnds + Self.blanks {
          self = .words(WordScanner.Rules(digits: digits, foldsLongS: foldsLongS))
          return
        }
      }
    }
    return nil
  }

  private static let gpt2Contractions = ["'s|'t|'re|'ve|'m|'ll|'d", "'(?:[sdmt]|ll|ve|re)"]
  private static let gpt2Words = #" ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
  private static let contractions: [(String, foldsLongS: Bool)] = [
    ("(?i:'s|'t|'re|'ve|'m|'ll|'d)", true), ("'(?i:[sdmt]|ll|ve|re)", true), ("(?i:'(?:[sdmt]|ll|ve|re))", true),
    ("(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])", false),
  ]
  private static let wordsBefore = #"[^\r\n\p{L}\p{N}]?\p{L}+|"#
  private static let tekkenWords =
    #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"#
    + #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|"#
  private static func punctuation(_ ends: String) -> String { #"| ?[^\s\p{L}\p{N}]+[\r\n"# + ends + #"]*|\s*"# }
  private static let blanks = #"|\s+(?!\S)|\s+"#
}
