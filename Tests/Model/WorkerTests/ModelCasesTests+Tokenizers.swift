import ModelFormats
import StrictJSON

/// Tokenizers with forms that change nothing, and those that are not there.
extension ModelCasesTests {
  private static let byteLevel: JSONValue = [
    "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
  ]

  private static func template(_ single: JSONValue) -> JSONValue {
    [
      "type": "TemplateProcessing", "single": single,
      "pair": [["Sequence": ["id": "A", "type_id": 0]], ["Sequence": ["id": "B", "type_id": 1]]],
      "special_tokens": ["<s>": ["id": "<s>", "ids": [1], "tokens": ["<s>"]]],
    ]
  }

  private static let text: JSONValue = ["Sequence": ["id": "A", "type_id": 0]]

  private static func tokenizer(_ name: String, _ outcome: Outcome, _ members: [(String, JSONValue)]) -> Case {
    .model(name, outcome) { try $0.change("tokenizer.json", members) }
  }

  private static func refused(_ problem: String) -> Outcome {
    .refused("the tokenizer of 'DIR/model' cannot be used: tokenizer.json: " + problem)
  }

  private static func added(_ id: Int, _ content: String) -> JSONValue {
    ["id": JSONValue(id), "content": .string(content), "normalized": false, "special": true]
  }

  private static func withoutTokenizer(_ files: String) -> String {
    "there is no 'tokenizer.json', so the model takes token ids only: \(files): python3 -c 'import sys; from transformers "
      + "import AutoTokenizer as T; T.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[1])' DIR/model"
  }

  static let tokenizers: [Case] = [
    tokenizer("hf-tok-template-nospecial", .read([]), [("post_processor", template([text]))]),
    tokenizer(
      "a template that adds a token", .read([]),
      [("post_processor", template([["SpecialToken": ["id": "<s>", "type_id": 0]], text]))]),
    tokenizer(
      "a template that ends a text",
      refused(
        "post_processor is TemplateProcessing, which adds '<s>', which is not supported yet; supported: a "
          + "TemplateProcessing that puts tokens in front of the text, or what changes nothing"),
      [("post_processor", template([text, ["SpecialToken": ["id": "<s>", "type_id": 0]]]))]),
    tokenizer(
      "a template with the text twice",
      refused(
        "post_processor is TemplateProcessing, which is not supported yet; supported: a TemplateProcessing that puts "
          + "tokens in front of the text, or what changes nothing"),
      [("post_processor", template([text, text]))]),
    tokenizer(
      "sequences of one step, and of none", .read([]),
      [
        ("normalizer", ["type": "Sequence", "normalizers": []]),
        (
          "pre_tokenizer",
          ["type": "Sequence", "pretokenizers": [["type": "Sequence", "pretokenizers": [byteLevel]]]]
        ),
        ("post_processor", ["type": "Sequence", "processors": [byteLevel, template([text])]]),
        ("decoder", ["type": "Sequence", "decoders": [byteLevel, ["type": "Fuse"]]]),
      ]),
    tokenizer(
      "a sequence that does something",
      refused(
        "normalizer is NFKC, which is not supported yet; supported: NFC (Qwen), Replace of ' ' by '▁' (Gemma), that behind "
          + "Prepend of '▁' (Llama 2), none"),
      [
        (
          "normalizer",
          [
            "type": "Sequence",
            "normalizers": [["type": "NFKC"], ["type": "Strip", "strip_left": false, "strip_right": false]],
          ]
        )
      ]),
    tokenizer(
      "a sequence of unknown members",
      refused("decoder: unknown key \"fuse\"; known are type, decoders"),
      [("decoder", ["type": "Sequence", "decoders": [byteLevel], "fuse": true])]),
    tokenizer(
      "hf-tok-gap",
      refused(
        "no token has the ids 256 to 269, and '<|pad|>' has 270; ids have no gap: add to 'added_tokens' what is missing"
      ),
      [("added_tokens", [added(270, "<|pad|>")])]),
    tokenizer(
      "a gap of one id",
      refused("no token has the id 256, and '<|pad|>' has 257; ids have no gap: add to 'added_tokens' what is missing"),
      [("added_tokens", [added(257, "<|pad|>")])]),
    .model("hf-vocabmerges", .read([withoutTokenizer("vocab.json, merges.txt are not read; make it of them")])) {
      try $0.remove("tokenizer.json")
      try $0.write("vocab.json", "{}")
      try $0.write("merges.txt", "#version: 0.2\n")
    },
    .model("hf-sentencepiece", .read([withoutTokenizer("tokenizer.model is not read; make it of that")])) {
      try $0.remove("tokenizer.json")
      try $0.write("tokenizer.model", "\n\u{E}")
    },
    .model("no tokenizer", .read(["there is no 'tokenizer.json', so the model takes token ids only"])) {
      try $0.remove("tokenizer.json")
    },
    .model(
      "a damaged tokenizer_config.json",
      .refused(
        "the tokenizer of 'DIR/model' cannot be used: tokenizer_config.json: line 1, column 2 (byte 1): expected a key in "
          + "double quotes, found the end of the text")
    ) {
      try $0.write("chat_template.jinja", "x")
      try $0.write("tokenizer_config.json", "{")
    },
  ]
}
