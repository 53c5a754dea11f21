import Digests
import Experts
import ModelFormats
import Multipliers
import StrictJSON
import SystemSupport
import Testing

@Suite struct MixtureTests {
  private let parents = [
    MixtureRecord.Expert(name: "science", version: 2, digest: digest("x"), alpha: [0.7]),
    MixtureRecord.Expert(name: "social", version: 1, digest: digest("y"), alpha: [0.1]),
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

  func record(_ granularity: Granularity) -> MixtureRecord {
    var experts = parents
    if granularity != .vector {
      experts[0].alpha = [0.1, 0.2]
      experts[1].alpha = [0.3, -0.4]
    }
    return MixtureRecord(
      task: "arc_easy", taskDigest: digest("t"), model: "tiny", baseDigest: digest("a"), granularity: granularity,
      mix: .delta, rescale: .none, units: granularity == .vector ? [] : ["model.layers.0", "model.layers.1"],
      experts: experts,
      scores: .init(
        metric: "acc", base: .init(fit: 0.5, heldOut: 0.4),
        experts: [.init(fit: 0.6, heldOut: 0.6), .init(fit: 0.3, heldOut: nil)],
        uniform: .init(fit: 0.5, heldOut: 0.5), mixture: .init(fit: 0.7, heldOut: 0.65, eval: 0.64)),
      served: "mixture", servedReason: "its held-out score is the best", search: ["method": "cem", "seed": 7],
      vectors: .init(digest: digest("v"), bytes: 1234))
  }

  @Test(arguments: [Granularity.vector, .layer])
  func aRecordReadsBack(granularity: Granularity) throws {
    let record = record(granularity)
    #expect(try MixtureRecord(json: parseJSON(record.json.serialized())) == record)
  }

  @Test func aRecordShowsWhatProgramsRelyOn() {
    let json = record(.vector).json
    #expect(json["alpha"] == ["science": 0.7, "social": 0.1])
    #expect(json["scores"]?["experts"]?["science"] == ["fit": 0.6, "held_out": 0.6])
    #expect(json["scores"]?["mixture"]?["eval"] == 0.64)
    #expect(record(.layer).json["alpha"]?["social"] == [0.3, -0.4])
    #expect(record(.layer).json["units"] == ["model.layers.0", "model.layers.1"])
    #expect(record(.layer).coefficients.alpha == [[0.1, 0.2], [0.3, -0.4]])
  }

  @Test func aDamagedRecordIsRefused() throws {
    let good = try #require(record(.vector).json.objectValue)
    for (key, value) in [
      ("alpha", ["science": 0.7]), ("alpha", ["science": 0.7, "social": "x"]), ("mix", "product"), ("more", 1),
      ("version", 2), ("experts", [["name": "science"]]),
    ] as [(String, JSONValue)] {
      var object = good
      object[key] = value
      #expect(throws: ObjectReaderError.self, "\(key)") { try MixtureRecord(json: .object(object)) }
    }
  }
}
