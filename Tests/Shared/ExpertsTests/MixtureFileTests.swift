import Experts
import ModelFormats
import Multipliers
import SystemSupport
import Testing

@Suite struct MixtureFileTests {
  private let parents = [
    MixtureFile.Parent(name: "science", version: 2, digest: digest("x"), alpha: [0.7]),
    MixtureFile.Parent(name: "social", version: 1, digest: digest("y"), alpha: [0.1]),
  ]

  @Test func aMixtureReadsBackAsAnExpert() throws {
    let model = signature()
    let vector = MultiplierVector((0..<16).map { 0.5 + Float($0) / 10 })
    let mixture = MixtureFile(name: "arc_easy", task: "arc_easy", vector: vector, model: model, parents: parents)
    try withTemporaryDirectory { directory in
      try mixture.write(to: directory + "/m.safetensors")
      let expert = try ExpertFile.read(path: directory + "/m.safetensors").validated(against: [model])
      #expect(expert.kind == .mixture)
      #expect(expert.name == "arc_easy")
      #expect(expert.baseMatch == .same)
      #expect(expert.warnings.isEmpty)
      #expect(expert.multiplierVector == vector)
      #expect(expert.metadata.parents?.contains(#""name":"science","version":2"#) == true)
    }
  }

  @Test func theSameMixtureGivesTheSameBytes() {
    let vector = MultiplierVector.ones(16)
    func bytes() -> [UInt8] {
      MixtureFile(name: "t", task: "t", vector: vector, model: signature(), parents: parents).bytes()
    }
    #expect(bytes() == bytes())
  }

  /// A sum of believed vectors may be larger than any of them.
  @Test func largeMultipliersOfAMixtureAreOnlyWarnedOf() throws {
    var vector = MultiplierVector.ones(16)
    vector.values[3] = 25
    let bytes = MixtureFile(name: "t", task: nil, vector: vector, model: signature(), parents: []).bytes()
    let expert = try ExpertFile.read(bytes: bytes, fileName: "t").validated(against: signature())
    #expect(expert.warningCodes.contains(.unusualRange))
    #expect(expert.multiplierVector == vector)
  }
}
