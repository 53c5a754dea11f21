@testable import ModelFormats
import StrictJSON
import SystemSupport
import TestSupport

@testable import Tokenizer

/// The bytes of a file below the repository, or at a path of its own.
func fileBytes(_ path: String) throws -> [UInt8] {
  try FileSystem.readAll(path.hasPrefix("/") ? path : repository + "/" + path, maximumBytes: 1 << 30)
}

/// Texts and their ids without a first token, special tokens recognised: `*.cases.json` and `tokenizer_cases.json`.
func tokenizerCases(_ path: String) throws -> [(text: String, ids: [Int32])] {
  try parseJSON(fileBytes(path)).arrayValue?.map { item in
    (item["text"]?.stringValue ?? "", item["ids"]?.arrayValue?.compactMap { $0.intValue.map { Int32($0) } } ?? [])
  } ?? []
}

/// What a GGUF file says of its tokenizer, whatever tensors it has, or none.
func ggufTokenizer(_ path: String) throws -> GGUFTokenizer? {
  let bytes = try fileBytes(path)
  var description: TokenizerDescription?
  do {
    _ = try unsafe bytes.withUnsafeBytes { bytes throws(ModelFormatError) in
      try unsafe GGUFHeader(bytes, path: path) { metadata, _ throws(ModelFormatError) in
        description = try metadata.tokenizer(vocabulary: .max)
      }
    }
  } catch  where description != nil {
    // Its tensors are of no interest here.
  }
  if case .gguf(let file)? = description?.kind { return file }
  return nil
}
