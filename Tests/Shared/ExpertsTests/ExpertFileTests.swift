import Digests
import Experts
import ModelFormats
import Multipliers
import StrictJSON
import SystemSupport
import TestSupport
import Testing

@Suite struct ExpertFileTests {
  @Test func aCompleteFileIsAcceptedWithoutWarning() throws {
    let expert = try ExpertDraft().validated()
    #expect(expert.name == "alpha")
    #expect(expert.model == "tiny")
    #expect(expert.baseMatch == .same)
    #expect(expert.warnings.isEmpty)
    #expect(expert.parameters.map(\.matrix) == [0, 3])
    #expect(expert.multiplierVector.values == [1, 1.5, 0.5, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0.9, 1, 1.1, 1.2])
    #expect(expert.summary["content_digest"]?.stringValue == expert.contentDigest.description)
    #expect(expert.summary["parameters"] == 8)
  }

  @Test func logitsBecomeMultipliers() throws {
    var draft = ExpertDraft()
    draft.metadata["t2.param_space"] = "logit"
    draft.metadata["t2.mask"] = "sigmoid"
    draft.metadata["t2.max_mult"] = "2"
    draft.tensors = ["model.layers.0.self_attn.q_proj.weight": [0, 1, -1, 0.5]]
    let values = try draft.validated().multiplierVector.values
    #expect(values[0] == 1)
    #expect(abs(values[1] - 1.4621172) < 1e-6)
    #expect(values[4...].allSatisfy { $0 == 1 })
  }

  // MARK: Against the model

  @Test func aMatrixThatTheModelHasNotIsNamedWithTheNearest() {
    var draft = ExpertDraft()
    draft.tensors["model.layers.0.self_attn.p_proj.weight"] = [1, 2, 3, 4]
    #expect(draft.problem()?.code == "unknown_matrix")
    #expect(
      draft.problem()?.description
        == "'model.layers.0.self_attn.p_proj.weight' is not a target matrix of model 'tiny'; did you mean "
        + "'model.layers.0.self_attn.q_proj.weight'?")
  }

  @Test func theFirstWrongLengthInTheModelsOrderIsNamed() {
    var draft = ExpertDraft()
    draft.tensors = [
      "model.layers.1.self_attn.q_proj.weight": [1, 2, 3], "model.layers.0.mlp.up_proj.weight": [1, 2, 3, 4, 5],
    ]
    #expect(
      draft.problem()
        == .wrongLength(tensor: "model.layers.0.mlp.up_proj.weight", found: 5, rank: 4, model: "tiny"))
  }

  /// A layer too many says less: an expert of a larger model has both.
  @Test func ofAnExpertForAnotherModelTheFirstShapeThatDiffersIsNamed() {
    var draft = ExpertDraft()
    draft.tensors = [
      "model.layers.0.self_attn.q_proj.weight": [1, 2, 3, 4], "model.layers.1.self_attn.q_proj.weight": [1, 2, 3],
      "model.layers.7.self_attn.q_proj.weight": [1, 2, 3],
    ]
    #expect(
      draft.problem()
        == .wrongLength(tensor: "model.layers.1.self_attn.q_proj.weight", found: 3, rank: 4, model: "tiny"))
    draft.tensors["model.layers.1.self_attn.q_proj.weight"] = [1, 2, 3, 4]
    #expect(draft.problem()?.code == "unknown_matrix")
  }

  @Test func notFiniteValuesAreNamedWithTheirIndex() {
    var draft = ExpertDraft()
    draft.tensors["model.layers.1.mlp.up_proj.weight"] = [1, 2, .infinity, .nan]
    #expect(
      draft.problem()?.description == "tensor 'model.layers.1.mlp.up_proj.weight' has inf at index 2")
  }

  @Test func multipliersBeyondTheLimitAreRefusedAndUnusualOnesWarnedOf() throws {
    var draft = ExpertDraft()
    draft.tensors["model.layers.1.mlp.up_proj.weight"] = [1, 10, -10, 1]
    #expect(try draft.validated().warningCodes == [.unusualRange])
    draft.tensors["model.layers.1.mlp.up_proj.weight"] = [1, 10.001, 1, 1]
    #expect(draft.problem()?.code == "out_of_range")
    #expect(draft.problem()?.description.contains("10.001 at index 1; allowed is -10.0 to 10.0") == true)
  }

  @Test func aConstantVectorIsAWarning() throws {
    var draft = ExpertDraft()
    draft.tensors["model.layers.1.mlp.up_proj.weight"] = [1, 1, 1, 1]
    let expert = try draft.validated()
    #expect(expert.warningCodes == [.constantVector])
    #expect(expert.warnings.first?.message.contains("model.layers.1.mlp.up_proj.weight") == true)
  }

  @Test func multipliersOfNothingButZerosAreRefused() {
    var draft = ExpertDraft()
    draft.tensors["model.layers.1.mlp.up_proj.weight"] = [0, 0, -0.0, 0]
    #expect(draft.problem() == .allZero(tensor: "model.layers.1.mlp.up_proj.weight", count: 1, of: 2))
    #expect(
      draft.problem()?.description.hasPrefix(
        "1 of 2 vectors hold nothing but zeros, the first is 'model.layers.1.mlp.up_proj.weight': ") == true)
    draft.metadata["t2.kind"] = "mixture"
    #expect(draft.problem()?.code == "all_zero")
    // Whatever the reason for which the model was chosen.
    draft.metadata["t2.base.digest"] = nil
    #expect(draft.problem()?.code == "all_zero")
  }

  /// A decomposition may be cut, and logits of zero are half of the maximum.
  @Test func partsOfVectorsAndLogitsMayBeZero() throws {
    var draft = ExpertDraft()
    draft.tensors["model.layers.1.mlp.up_proj.weight"] = [1, 1, 0, 0]
    draft.tensors["model.layers.0.self_attn.q_proj.weight"] = [1, 1, 1, 0]
    #expect(try draft.validated().warningCodes == [.unusualRange])
    draft.tensors["model.layers.0.self_attn.q_proj.weight"] = [1, 1, 1, 0.5]
    draft.tensors["model.layers.1.mlp.up_proj.weight"] = [0, 0, 0, 0]
    draft.metadata["t2.param_space"] = "logit"
    #expect(try draft.validated().warningCodes.contains(.constantVector))
  }

  /// A download that was given its whole size: its header, and zeros from somewhere to the end.
  @Test(
    arguments: [
      ("multiplier", 3, nil, ["unusual_range"]), ("multiplier", 2, nil, ["unusual_range", "end_of_zeros"]),
      ("multiplier", 0, "all_zero", []), ("multiplier", -2, "all_zero", []),
      ("logit", 3, nil, []), ("logit", 1, nil, ["end_of_zeros"]),
      ("logit", 0, nil, ["constant_vector", "end_of_zeros"]),
      ("logit", -1, "end_of_zeros", []), ("logit", -2, "end_of_zeros", []),
    ] as [(String, Int, String?, [String])])
  func zerosUpToTheEndAreSeen(space: String, written: Int, problem: String?, warnings: [String]) throws {
    var draft = ExpertDraft()
    draft.metadata["t2.param_space"] = space
    // `written` of the last vector's values are there, or so many of the one before are not.
    let values: [Float] = [0.5, 1.5, 0.75, 1.25]
    func cut(_ count: Int) -> [Float] { values.indices.map { $0 < count ? values[$0] : 0 } }
    draft.tensors = [
      "model.layers.0.self_attn.q_proj.weight": cut(min(4, 4 + written)),
      "model.layers.1.mlp.up_proj.weight": cut(max(0, written)),
    ]
    #expect(draft.problem()?.code == problem)
    if problem == nil { #expect(try draft.validated().warningCodes.map(\.rawValue) == warnings) }
    if problem == "end_of_zeros" {
      #expect(
        draft.problem()?.description.hasPrefix(
          "the last \(-written) of the 4 values of 'model.layers.0.self_attn.q_proj.weight' and all of the vector behind"
        )
          == true)
    }
  }

  /// What is in a store was taken by the rules of its time, and a worker reads it by those.
  @Test func aStoredExpertOfZerosIsRead() throws {
    var draft = ExpertDraft()
    draft.tensors["model.layers.1.mlp.up_proj.weight"] = [0, 0, 0, 0]
    #expect(try draft.read().validated(against: signature()).parameters.count == 2)
  }

  @Test func aVectorOfTwoDimensionsIsRefused() {
    let bytes = safetensorsBytes(
      tensors: [
        SafetensorsTensor(name: "model.layers.0.self_attn.q_proj.weight", shape: [2, 2], values: [1, 2, 3, 4])
      ], metadata: [("t2.name", "x")])
    let error = #expect(throws: ExpertFileError.self) {
      try ExpertFile.read(bytes: bytes, fileName: "x").validated(against: signature())
    }
    #expect(error?.code == "not_a_vector")
  }

  // MARK: A model of which only some matrices are factored

  private static let mlpOnly = signature("part") { $0.contains(".mlp.") }

  @Test func valuesForAMatrixThatIsNotFactoredAreAnErrorThatNamesItAndWhatToDo() {
    #expect(
      ExpertDraft().problem([Self.mlpOnly])
        == .notFactored(
          tensor: "model.layers.0.self_attn.q_proj.weight", count: 1, model: "part", modules: ["up_proj"]))
    #expect(
      ExpertDraft().problem([Self.mlpOnly])?.description
        == "it has multipliers other than 1 for a matrix that model 'part' does not factor: the first is "
        + "'model.layers.0.self_attn.q_proj.weight'; of that model only up_proj are factored; add it again with more "
        + "modules, under another name or after t2ctl model remove part, or leave these tensors out")
    var draft = ExpertDraft()
    draft.tensors["model.layers.0.self_attn.q_proj.weight"] = [1, 2]
    #expect(draft.problem([Self.mlpOnly])?.code == "wrong_length", "the length is another thing")
  }

  @Test func whatLeavesSuchAMatrixAsItIsIsLeftOutAndTheExpertIsTheSame() throws {
    for (space, one) in [("multiplier", 1), ("logit", 0)] as [(String, Float)] {
      var draft = ExpertDraft()
      draft.metadata["t2.param_space"] = space
      if space == "logit" { draft.metadata["t2.max_mult"] = "2" }
      draft.tensors["model.layers.0.self_attn.q_proj.weight"] = [one, one, one, one]
      let (part, whole) = (try draft.validated([Self.mlpOnly]), try draft.validated())
      #expect(part.warningCodes.contains(.notFactored) && part.parameters.map(\.matrix) == [3])
      #expect(part.contentDigest == whole.contentDigest)
      let values = whole.multiplierVector.values
      #expect(part.multiplierVector.values == Array(values[4..<8] + values[12..<16]))
    }
  }

  @Test func anExpertOfWhatIsFactoredIsAccepted() throws {
    var draft = ExpertDraft()
    draft.tensors["model.layers.0.self_attn.q_proj.weight"] = nil
    let expert = try draft.validated([Self.mlpOnly])
    #expect(expert.warnings.isEmpty && expert.multiplierVector.values == [1, 1, 1, 1, 0.9, 1, 1.1, 1.2])
    // Its own file names nothing else either.
    let mixture = MixtureFile(
      name: "mixed", task: nil, vector: expert.multiplierVector, model: Self.mlpOnly, parents: [])
    let again = try ExpertFile.read(bytes: mixture.bytes(), fileName: "mixed").validated(against: [Self.mlpOnly])
    #expect(again.multiplierVector == expert.multiplierVector && again.parameters.map(\.matrix) == [1, 3])
  }

  /// One base under two names: the one that can is taken, whether the file names its base or not.
  @Test(arguments: [true, false]) func theModelThatFactorsWhatTheExpertNeedsIsFound(namesItsBase: Bool) throws {
    var draft = ExpertDraft()
    if !namesItsBase { draft.metadata["t2.base.digest"] = nil }
    #expect(try draft.validated([Self.mlpOnly, signature()]).model == "tiny")
    #expect(try draft.validated([signature(), Self.mlpOnly]).model == "tiny")
  }

  @Test func aSignatureSaysWhatIsFactored() throws {
    let read = try ModelSignature(json: Self.mlpOnly.json)
    #expect(read == Self.mlpOnly && read != signature("part") && read.layout.factored == [1, 3])
  }

  // MARK: Metadata

  @Test(arguments: [
    ("t2.format", "t2-mixture"), ("t2.version", "2"), ("t2.param_space", "log"), ("t2.rescale", "spectral"),
    ("t2.kind", "adapter"), ("t2.max_mult", "0"), ("t2.max_mult", "nan"), ("t2.max_mult", "two"),
    ("t2.mask", "sigmoid"), ("t2.base.digest", "sha256:00"), ("t2.name", "a b"), ("t2.name", "base"), ("t2.name", ""),
    ("t2.label", "other"),
  ])
  func anUnknownValueIsAnErrorThatNamesTheAllowedOnes(key: String, value: String) {
    var draft = ExpertDraft()
    draft.metadata[key] = value
    #expect(draft.problem()?.code == "bad_metadata_value")
    #expect(draft.problem()?.description.contains("metadata \(key) is \"\(value)\"; allowed: ") == true)
  }

  @Test func anUnknownKeyIsAWarningAndOthersKeysAreLeftAlone() throws {
    var draft = ExpertDraft()
    draft.metadata["t2.rescal"] = "nuclear"
    draft.metadata["format"] = "pt"
    draft.metadata["t2.author"] = "somebody"
    let expert = try draft.validated()
    #expect(expert.warningCodes == [.unknownKey])
    #expect(expert.warnings.first?.message == "metadata key 't2.rescal' is unknown; did you mean 't2.rescale'?")
  }

  @Test func aFileWithoutMetadataIsTakenAsMultipliersUnderItsFileName() throws {
    var draft = ExpertDraft()
    draft.metadata = [:]
    let expert = try draft.validated()
    #expect(expert.name == "dropped")
    #expect(expert.warningCodes == [.noMetadata, .missingBaseDigest])
    #expect(expert.baseMatch == .unstated)
    let error = #expect(throws: ExpertFileError.self) { try draft.read(fileName: "a b.safetensors") }
    #expect(error?.code == "no_name")
  }

  @Test func missingEntriesAreNamed() throws {
    var draft = ExpertDraft()
    draft.metadata["t2.param_space"] = nil
    draft.metadata["t2.rescale"] = nil
    let expert = try draft.validated()
    #expect(expert.warningCodes == [.missingMetadata])
    #expect(expert.warnings.first?.message.hasPrefix("t2.param_space, t2.rescale missing") == true)
  }

  @Test func metricsThatAreNotJSONAreAWarning() throws {
    var draft = ExpertDraft()
    draft.metadata["t2.metrics"] = "{acc: 1}"
    #expect(try draft.validated().warningCodes == [.notJSON])
  }

  // MARK: Which model

  @Test func anotherBaseOfTheSameShapesIsForeign() throws {
    let expert = try ExpertDraft().validated([signature(digest: "b")])
    #expect(expert.isForeign)
    #expect(expert.warningCodes == [.foreignBase])
  }

  @Test func theDigestDecidesBetweenModelsOfTheSameShapes() throws {
    let models = [signature("one", digest: "b"), signature("two", digest: "a"), signature("three", digest: "c")]
    #expect(try ExpertDraft().validated(models).model == "two")
  }

  @Test func theShapesDecideWhereTheDigestIsMissing() throws {
    var draft = ExpertDraft()
    draft.metadata["t2.base.digest"] = nil
    let expert = try draft.validated([signature("big", digest: "b", rank: 8), signature("small", digest: "c")])
    #expect(expert.model == "small")
    #expect(expert.warningCodes == [.missingBaseDigest])
  }

  @Test func theModelsIDDecidesWhereSeveralFit() throws {
    var draft = ExpertDraft()
    draft.metadata["t2.base.digest"] = nil
    draft.metadata["t2.base.model_id"] = "Tiny-2"
    let models = [signature("one", modelID: "Tiny-1", digest: "b"), signature("two", modelID: "Tiny-2", digest: "c")]
    #expect(try draft.validated(models).model == "two")
  }

  @Test func whereNothingDecidesTheModelsAreNamed() {
    var draft = ExpertDraft()
    draft.metadata["t2.base.digest"] = nil
    let models = [signature("one", digest: "b"), signature("two", digest: "c")]
    #expect(draft.problem(models) == .ambiguousModel(names: ["one", "two"]))
    #expect(draft.problem(models)?.description.contains("one, two alike") == true)
  }

  @Test func whereNoneFitsEachReasonIsGiven() {
    let models = [signature("one", digest: "b", rank: 8), signature("two", digest: "c", rank: 6)]
    let text = ExpertDraft().problem(models)?.description
    #expect(text?.contains("one: tensor 'model.layers.0.self_attn.q_proj.weight' has 4 values") == true)
    #expect(text?.contains("two: ") == true)
    #expect(ExpertDraft().problem([signature(digest: "b", rank: 8)])?.code == "wrong_length")
    #expect(ExpertDraft().problem([])?.code == "no_models")
  }

  // MARK: Identity

  @Test func identityIsOfTheContentAndNotOfTheFile() throws {
    let plain = try ExpertDraft().validated().contentDigest
    var draft = ExpertDraft()
    draft.metadata["t2.name"] = "another"
    draft.metadata["t2.description"] = "words"
    draft.metadata["t2.max_mult"] = "1.0"
    #expect(try draft.validated().contentDigest == plain)

    draft = ExpertDraft()
    draft.tensors["model.layers.1.mlp.up_proj.weight"]?[3] = (1.2 as Float).nextUp
    #expect(try draft.validated().contentDigest != plain)
    for (key, value) in [
      ("t2.rescale", "nuclear"), ("t2.param_space", "logit"), ("t2.base.digest", digest("z").description),
    ] {
      draft = ExpertDraft()
      draft.metadata[key] = value
      #expect(try draft.validated().contentDigest != plain, "\(key)")
    }
    draft = ExpertDraft()
    draft.metadata["t2.param_space"] = "logit"
    let logit = try draft.validated().contentDigest
    draft.metadata["t2.max_mult"] = "2"
    #expect(try draft.validated().contentDigest != logit)
  }

  @Test func damagedFilesKeepTheirReasonAndIncompleteOnesAreTold() {
    let bytes = ExpertDraft().bytes
    let short = #expect(throws: ExpertFileError.self) {
      try ExpertFile.read(bytes: Array(bytes.dropLast()), fileName: "x")
    }
    #expect(short?.isIncomplete == true && short?.code == "incomplete")
    let long = #expect(throws: ExpertFileError.self) { try ExpertFile.read(bytes: bytes + [0], fileName: "x") }
    #expect(long?.isIncomplete == false && long?.code == "trailing_bytes")
  }

  // MARK: The examples

  /// SmolLM2-135M: 30 layers of 576 channels, 9 heads of 64, 3 key/value heads, 1536 inner channels.
  private var smolLM2: ModelSignature {
    let configuration = ModelConfiguration(
      modelID: "SmolLM2-135M-Instruct", layers: 30, hidden: 576, intermediate: 1536, heads: 9, kvHeads: 3, headDim: 64,
      vocabulary: 49152, contextLength: 8192, ropeTheta: 100_000, rmsEpsilon: 1e-5, tiedEmbeddings: true, eosIDs: [2],
      quantization: "Q4_1")
    return ModelSignature(
      name: "smollm2", modelID: configuration.modelID, digest: digest("s"), architecture: configuration.architecture,
      layout: MultiplierLayout(configuration.targets))
  }

  @Test(arguments: ["science", "social"])
  func filesWithoutABaseDigestAreAcceptedWithAWarning(name: String) throws {
    let file = try ExpertFile.read(
      path: "\(repository)/Tests/Programs/EndToEndTests/Fixtures/experts/\(name).safetensors")
    let expert = try file.validated(against: [smolLM2, signature()])
    #expect(expert.name == name)
    #expect(expert.model == "smollm2")
    #expect(expert.warningCodes == [.missingBaseDigest])
    #expect(expert.parameters.count == 210)
  }

  @Test(arguments: ["science", "math", "words"])
  func theExamplesNameTheirBaseAndWhatTheyWereTaught(name: String) throws {
    let expert = try ExpertFile.read(path: "\(repository)/etc/examples/experts/\(name).safetensors").validated(
      against: smolLM2)
    #expect(expert.name == name && expert.kind == .expert && expert.label != nil)
    // The digest of this test's base is invented, so the file's must differ from it.
    #expect(expert.warningCodes == [.foreignBase] && expert.parameters.count == 210)
    let task = try #require(expert.metadata.task)
    #expect(throws: Never.self) {
      try FileSystem.readAll("\(repository)/etc/examples/lessons/\(task)/train.jsonl", maximumBytes: 1 << 20)
    }
  }

  @Test func theDispatcherOfTheExamplesNamesItsBaseAndItsData() throws {
    let file = try ExpertFile.read(path: "\(repository)/etc/examples/experts/dispatcher.safetensors")
    let expert = try file.validated(against: smolLM2)
    #expect(expert.kind == .dispatcher && expert.label == nil && expert.metadata.task == nil)
    // The digest of this test's base is invented, so the file's must differ from it.
    #expect(expert.warningCodes == [.foreignBase] && expert.parameters.count == 210)
    let trainedWith = try parseJSON(try #require(expert.metadata.trainedWith))
    let labels = trainedWith["data"]?.arrayValue?.compactMap { $0["label"]?.stringValue }
    #expect(Set(labels ?? []) == ["reasoning", "math", "words", "other"])
    #expect(try parseJSON(try #require(expert.metadata.metrics))["held_out"]?["expert"]?["acc"]?.doubleValue ?? 0 > 0.9)
  }
}
