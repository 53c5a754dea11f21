import ModelFormats
import SystemSupport
import TestSupport
import Testing

/// A GGUF model in several files.
@Suite struct GGUFPartsTests {
  /// The tiny Llama in three parts, whose first has no tensors, named as llama-gguf-split does. `change` gets each part.
  private func withParts<Value>(
    named name: (Int) -> String = { "Tiny-Q4_K_M-0000\($0)-of-00003.gguf" },
    _ change: (Int, inout SyntheticGGUF) -> Void = { _, _ in }, _ body: (_ directory: String) throws -> Value
  ) throws -> Value {
    let whole = SyntheticGGUF.tinyLlama()
    return try withTemporaryDirectory { directory in
      for number in 1...3 {
        var part = SyntheticGGUF()
        if number == 1 { part.metadata = whole.metadata }
        part.set("split.no", UInt32(number - 1))
        part.set("split.count", UInt32(3))
        part.set("split.tensors.count", UInt32(whole.tensors.count))
        part.tensors = [[], Array(whole.tensors[..<4]), Array(whole.tensors[4...])][number - 1]
        change(number, &part)
        try writeFile(directory + "/" + name(number), part.build())
      }
      return try body(directory)
    }
  }

  private func problem(_ directory: String, _ part: Int = 2) -> String {
    do { _ = try openModel(at: directory + "/Tiny-Q4_K_M-0000\(part)-of-00003.gguf") } catch {
      return "\(error)".replacing(directory, with: "DIR")
    }
    return "no error"
  }

  @Test(arguments: 1...3) func anyPartStandsForTheModel(part: Int) throws {
    let expected = try withTemporaryDirectory { directory in
      try writeFile(directory + "/Tiny.gguf", SyntheticGGUF.tinyLlama().build())
      return try openModel(at: directory + "/Tiny.gguf")
    }
    try withParts { directory in
      let model = try openModel(at: directory + "/Tiny-Q4_K_M-0000\(part)-of-00003.gguf")
      #expect(model.configuration == expected.configuration)
      #expect(model.tensorNames == expected.tensorNames)
      for name in model.tensorNames { #expect(try model.floats(name) == expected.floats(name)) }
      #expect(model.tokenizerDescription == expected.tokenizerDescription)
    }
  }

  @Test(arguments: 1...3) func llamaCppsPartsAreReadAsTheWhole(part: Int) throws {
    let model = try openModel(at: fixtureGGUF("mistral-split-0000\(part)-of-00003"))
    let whole = try openModel(at: fixtureGGUF("mistral.f32"))
    #expect(model.tensorNames == whole.tensorNames)
    #expect(try model.digest() == whole.digest())
    #expect(model.configuration.modelID == "mistral-split")
  }

  @Test func aMissingPartIsNamed() throws {
    try withParts { directory in
      _ = try FileSystem.remove(directory + "/Tiny-Q4_K_M-00003-of-00003.gguf")
      #expect(
        problem(directory)
          == "'DIR/Tiny-Q4_K_M-00002-of-00003.gguf': it is part 2 of 3, of which these are not beside it: "
          + "Tiny-Q4_K_M-00003-of-00003.gguf; download all parts into one directory")
      try writeFile(directory + "/Tiny-Q4_K_M-00003-of-00003.gguf.part", [0])
      #expect(problem(directory).contains("Tiny-Q4_K_M-00003-of-00003.gguf"))
    }
  }

  @Test func partsThatDoNotBelongTogetherAreRefused() throws {
    let cases: [(message: String, change: (Int, inout SyntheticGGUF) -> Void)] = [
      (
        "00003-of-00003.gguf': by its metadata it is part 2 of 3; get all parts anew from one place",
        { number, part in
          if number == 3 {
            part.remove("split.no")
            part.set("split.no", UInt32(1))
          }
        }
      ),
      (
        "00003-of-00003.gguf': by its metadata it is part 3 of 4",
        { number, part in
          if number == 3 {
            part.remove("split.count")
            part.set("split.count", UInt32(4))
          }
        }
      ),
      (
        "00003-of-00003.gguf': by its metadata it is part 1 of 1",
        { number, part in if number == 3 { part = SyntheticGGUF.tinyLlama() } }
      ),
      (
        "00003-of-00003.gguf': tensor 'token_embd.weight' is in 'Tiny-Q4_K_M-00002-of-00003.gguf' too",
        { number, part in if number == 3 { part.tensors.append(SyntheticGGUF.tinyLlama().tensors[0]) } }
      ),
      (
        "00001-of-00003.gguf': all parts should have 11 tensors, and they have 10",
        { number, part in if number == 3 { part.tensors.removeLast() } }
      ),
      (
        "00002-of-00003.gguf': it is part 3 of 3 of a split GGUF file, and its name says part 2 of 3; name the parts as",
        { number, part in
          if number == 2 {
            part.remove("split.no")
            part.set("split.no", UInt32(2))
          }
        }
      ),
      (
        "00002-of-00003.gguf': it is part 2 of 4294967295 of a split GGUF file, and its name says part 2 of 3",
        { number, part in
          if number == 2 {
            part.remove("split.count")
            part.set("split.count", UInt32.max)
          }
        }
      ),
    ]
    for (message, change) in cases {
      let text = try withParts(change) { problem($0) }
      #expect(text.contains(message), "\(text)")
    }
  }

  @Test func aPartThatDoesNotSayItInItsNameIsRefused() throws {
    let text = try withParts(named: { "part\($0).gguf" }) { directory in
      do { _ = try openModel(at: directory + "/part2.gguf") } catch { return "\(error)" }
      return "no error"
    }
    #expect(
      text.hasSuffix(
        "it is part 2 of 3 of a split GGUF file, and its name does not say so; name the parts as they were, such as "
          + "MODEL-00001-of-00003.gguf"))
  }

  /// What the first part says is not a model is none, whichever part is named.
  @Test func theFirstPartSaysWhatTheModelIs() throws {
    let text = try withParts({ number, part in
      if number == 1 {
        part.remove("general.architecture")
        part.set("general.architecture", "clip")
      }
    }) { problem($0) }
    #expect(text.contains("DIR/Tiny-Q4_K_M-00001-of-00003.gguf' is the part of a model that reads pictures"), "\(text)")
  }
}
