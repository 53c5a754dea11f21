import StrictJSON
import Testing

@testable import Tokenizer

/// The forms of tokenizer.json that are read, against Hugging Face's tokenizers: see etc/lib/make-tokenizer-forms.
@Suite struct TokenizerFormsTests {
  struct Form: Sendable, CustomTestStringConvertible {
    let name: String
    let file: [UInt8]
    let cases: [(text: String, ids: [Int32], decoded: String)]

    var testDescription: String { name }
  }

  private static let forms: [Form] = {
    let path = "Tests/Model/TokenizerTests/Fixtures/tokenizer_forms.json"
    guard let bytes = try? fileBytes(path), let values = try? parseJSON(bytes).arrayValue else {
      fatalError("cannot read \(path)")
    }
    return values.map { value in
      Form(
        name: value["name"]?.stringValue ?? "", file: value["tokenizer"]?.serialized() ?? [],
        cases: value["cases"]?.arrayValue?.map {
          let parts = $0.arrayValue ?? []
          return (
            parts[0].stringValue ?? "", parts[1].arrayValue?.compactMap { $0.intValue.map { Int32($0) } } ?? [],
            parts[2].stringValue ?? ""
          )
        } ?? [])
    }
  }()

  @Test(arguments: forms)
  func eachFormGivesTheReferenceIDs(form: Form) throws {
    let tokenizer = try Tokenizer.huggingFace(tokenizerJSON: form.file)
    #expect(form.cases.count > 150)
    for (text, ids, _) in form.cases {
      let found = tokenizer.encode(text, recognizeSpecial: true)
      #expect(found == ids, "\(text.debugDescription)")
    }
  }

  /// Bytes that are not UTF-8 are left out: there tokenizers writes as many U+FFFD as the whole run has bytes. So is the form
  /// with normalized tokens, which tokenizers does not take for special again when it decodes.
  @Test(arguments: forms.filter { $0.name != "legacy with normalized tokens" })
  func eachFormIsDecodedAsTheReferenceDoes(form: Form) throws {
    let tokenizer = try Tokenizer.huggingFace(tokenizerJSON: form.file)
    for (text, ids, decoded) in form.cases where !decoded.unicodeScalars.contains("\u{FFFD}") {
      let found = tokenizer.decode(ids, skipSpecial: true)
      #expect(Array(found.utf8) == Array(decoded.utf8), "\(text.debugDescription)")
    }
  }
}
