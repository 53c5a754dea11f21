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
      guard case .ggufBPE(let pre, let tokens, _, let merges, _, _, _, _, _)? = written.tokenizerDescription?.kind
      else {
        Issue.record("the copy has no tokenizer")
        return
      }
      #expect(pre == "smollm" && tokens.count == 16 && merges == ["t 1"])
      #expect(written.tokenizerDescription?.chatTemplate == original.tokenizerDescription?.chatTemplate)
    }
  }
}
