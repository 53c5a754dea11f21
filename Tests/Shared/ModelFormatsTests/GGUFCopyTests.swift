import ModelFormats
import SystemSupport
import TestSupport
import Testing

@Suite struct GGUFCopyTests {
  @Test func aCopyHasTheTokenizerAndTheValuesThatItWasGiven() throws {
    try withTemporaryDirectory { directory in
      let (path, copy) = (directory + "/tiny.gguf", directory + "/copy.gguf")
      try FileSystem.writeAtomically(path, SyntheticGGUF.tinyLlama().build())
      let original = try openModel(at: path)
      try GGUFCopy(of: path).write(to: copy) { name throws(ModelFormatError) in
        guard name == "model.layers.0.self_attn.q_proj.weight" else { return nil }
        return try original.floats(name).map { $0 / 2 }
      }
      let written = try openModel(at: copy)
      #expect(written.tensorNames == original.tensorNames)
      #expect(written.configuration.quantization == "F16")
      for name in original.tensorNames {
        let isChanged = name == "model.layers.0.self_attn.q_proj.weight"
        // Half precision holds 11 bits.
        for (found, expected) in zip(try written.floats(name), try original.floats(name)) {
          let expected = isChanged ? expected / 2 : expected
          #expect(abs(found - expected) <= abs(expected) / 2048, "\(name)")
        }
      }
      guard case .gguf(let file)? = written.tokenizerDescription?.kind else {
        Issue.record("the copy has no tokenizer")
        return
      }
      #expect(file.pre == "smollm" && file.tokens.count == 16 && file.merges == ["t 1"])
      #expect(written.tokenizerDescription?.chatTemplate == original.tokenizerDescription?.chatTemplate)
    }
  }

  /// Of every family, whether it permutes rows or not, with biases, scalings and parts.
  @Test(arguments: FamilyTests.twins.values.sorted() + ["mistral-split-00002-of-00003"])
  func aCopyIsTheSameModel(file: String) throws {
    try withTemporaryDirectory { directory in
      let copy = directory + "/copy.gguf"
      let original = try openModel(at: fixtureGGUF(file))
      try GGUFCopy(of: fixtureGGUF(file)).write(to: copy) { _ in nil }
      let written = try openModel(at: copy)
      var expected = original.configuration
      expected.modelID = "copy"
      expected.quantization = "F16"
      #expect(written.configuration == expected)
      #expect(written.tokenizerDescription == original.tokenizerDescription)
      #expect(written.tensorNames == original.tensorNames)
      for name in original.tensorNames {
        let isVector = original.shape(of: name)?.count == 1
        let (found, right) = (try written.floats(name), try original.floats(name))
        // A vector stays as it is; half precision holds 11 bits.
        #expect(zip(found, right).allSatisfy { abs($0 - $1) <= (isVector ? 0 : abs($1) / 2048 + 0x1p-25) }, "\(name)")
      }
    }
  }
}
