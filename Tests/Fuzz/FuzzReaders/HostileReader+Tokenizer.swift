import Tokenizer

extension HostileReader {
  private static let head = #"{"version":"1.0","truncation":null,"padding":null,"added_tokens":["#
  private static let special =
    #"{"id":0,"content":"<s>","single_word":false,"lstrip":false,"rstrip":true,"normalized":false,"special":true}"#
  private static let word =
    #"{"id":8,"content":"<w>","single_word":true,"lstrip":true,"rstrip":false,"normalized":true,"special":false}"#
  private static let template =
    #"{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[],"special_tokens":{"<s>":{"id":"<s>","ids":[0],"tokens":["<s>"]}}}"#
  private static let llama3 =
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"#
  private static let byteLevel =
    head + special + "," + word + #"],"normalizer":{"type":"NFC"},"pre_tokenizer":{"type":"Sequence","pretokenizers":["#
    + #"{"type":"Split","pattern":{"Regex":""# + llama3
    + #""},"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]},"#
    + #""post_processor":"# + template
    + #","decoder":{"type":"ByteLevel"},"model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,"#
    + #""end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"ignore_merges":true,"#
    + #""vocab":{"<s>":0,"a":1,"b":2,"Ġ":3,"ab":4,"Ġab":5,"1":6,"11":7},"merges":["a b",["Ġ","ab"],"1 1"]}}"#
  private static let sentencePieceModel =
    #""decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]},"#
    + #""model":{"type":"BPE","unk_token":"<u>","fuse_unk":true,"byte_fallback":true,"#
    + #""vocab":{"<s>":0,"<u>":1,"<0x0A>":2,"<0xC3>":3,"▁":4,"a":5,"b":6,"ab":7},"merges":[["a","b"]]}}"#
  private static let legacy =
    head + special + "," + word
    + #"],"normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]},"#
    + #""pre_tokenizer":null,"post_processor":null,"# + sentencePieceModel
  private static let metaspace =
    head + special
    + #"],"normalizer":null,"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":false},"post_processor":"#
    + template + "," + sentencePieceModel

  private static let gemma =
    head + special + "," + word
    + #"],"normalizer":{"type":"Replace","pattern":{"String":" "},"content":"▁"},"#
    + #""pre_tokenizer":{"type":"Split","pattern":{"String":" "},"behavior":"MergedWithPrevious","invert":false},"post_processor":"#
    + template + ","
    + sentencePieceModel.replacing(#",{"type":"Strip","content":" ","start":1,"stop":0}"#, with: "")

  static let tokenizer = HostileReader("tokenizer", texts: [byteLevel, legacy, metaspace, gemma]) { bytes in
    try useTokenizer(.huggingFace(tokenizerJSON: bytes))
  }

  /// What is read encodes and decodes any text, and says the same in pieces as at once.
  static func useTokenizer(_ tokenizer: Tokenizer) throws {
    let text = "<s> ab  e\u{301}\u{327}'S 1111\n<w>\u{2581}<w><s>"
    let ids = tokenizer.encode(PromptText.text(text, recognizeSpecial: true)) + tokenizer.continuation(text)
    for id in ids { try promise(id >= 0, "the text has the token \(id)") }
    let all = ids + [-1, .max]
    var decoder = StreamingDecoder(tokenizer)
    let streamed = all.map { decoder.push($0) }.joined() + decoder.finish()
    try promise(
      Array(streamed.utf8) == Array(tokenizer.decode(all).utf8), "in pieces it is '\(streamed)', at once another text")
  }
}
