import Experts
import ModelFormats
import Multipliers
import SystemSupport
import TestSupport
import Testing

/// What people drop as experts, and what becomes of each: read, with a warning where something was mended, or refused with
/// what it is and what to do.
@Suite struct ExpertCasesTests {
  enum Outcome: Sendable {
    /// It is the same expert as the plain file, bit for bit; with the message of the first warning of that code.
    case same(ExpertWarning.Code?, String)
    /// By the code of the error, with a part of its message.
    case refused(String, String)
  }

  struct Case: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let bytes: [UInt8]
    var fileName = "x.safetensors"
    let outcome: Outcome

    init(_ name: String, _ bytes: [UInt8], as fileName: String = "x.safetensors", _ outcome: Outcome) {
      (testDescription, self.bytes, self.fileName, self.outcome) = (name, bytes, fileName, outcome)
    }
  }

  // MARK: Making files

  struct Raw {
    var name: String
    var type = "F32"
    var shape: [Int]
    var bytes: [UInt8]
  }

  /// Exact in every type.
  private static let vectors: [(name: String, values: [Float])] = [
    ("model.layers.0.self_attn.q_proj.weight", [1, 1.5, 0.5, 1.25]),
    ("model.layers.1.mlp.up_proj.weight", [0.875, 1, 1.125, 1.25]),
  ]

  private static func tensors(
    _ type: String = "F32", shape: [Int] = [4], named rename: (String) -> String = { $0 }
  ) -> [Raw] {
    vectors.map { name, values in
      let bytes = values.flatMap { value -> [UInt8] in
        switch type {
        case "F64": little(Double(value).bitPattern)
        case "F16": little(Float16(value).bitPattern)
        case "BF16": little(UInt16(value.bitPattern >> 16))
        case "I32": little(Int32(value))
        default: little(value.bitPattern)
        }
      }
      return Raw(name: rename(name), type: type, shape: shape, bytes: bytes)
    }
  }

  private static func zeros(_ name: String, _ shape: [Int]) -> Raw {
    Raw(name: name, shape: shape, bytes: [UInt8](repeating: 0, count: 4 * shape.reduce(1, *)))
  }

  private static func file(_ tensors: [Raw], metadata: String? = #"{"t2.name":"x"}"#) -> [UInt8] {
    var offset = 0
    var entries = metadata.map { [#""__metadata__":\#($0)"#] } ?? []
    for tensor in tensors {
      let end = offset + tensor.bytes.count
      entries.append(
        #""\#(tensor.name)":{"dtype":"\#(tensor.type)","shape":\#(tensor.shape),"data_offsets":[\#(offset),\#(end)]}"#)
      offset = end
    }
    let header = Array("{\(entries.joined(separator: ","))}".utf8)
    return little(UInt64(header.count)) + header + tensors.flatMap(\.bytes)
  }

  private static func wrapped(_ prefix: String) -> [UInt8] { file(tensors { prefix + $0 }) }

  private static func text(_ text: String) -> [UInt8] { Array(text.utf8) }

  // MARK: The table

  private static let q = "model.layers.0.self_attn.q_proj.weight"

  private static let good: [Case] = [
    Case("plain", file(tensors()), .same(nil, "")),
    Case("exp-nometa", file(tensors(), metadata: nil), .same(.noMetadata, "no t2.* metadata")),
    Case("exp-plain-pt", file(tensors(), metadata: #"{"format":"pt"}"#), .same(.noMetadata, "no t2.* metadata")),
    Case("exp-f16", file(tensors("F16")), .same(nil, "")),
    Case("exp-bf16", file(tensors("BF16")), .same(nil, "")),
    Case(
      "exp-f64", file(tensors("F64")),
      .same(.rounded, "2 of 2 vectors are of 64 bits a value and were rounded to 32; the first is '\(q)'")),
    Case(
      "exp-row", file(tensors(shape: [1, 4])),
      .same(.rowShape, "2 of 2 tensors have a shape such as [1, 4], and are read as vectors; the first is '\(q)'")),
    Case("a column", file(tensors(shape: [4, 1])), .same(.rowShape, "such as [4, 1]")),
    Case(
      "exp-scalar",
      file(tensors() + [Raw(name: "global_step", type: "I64", shape: [], bytes: little(Int64(40)))]),
      .same(.passedOver, "passed over, since it is the vector of no matrix: 'global_step'")),
    Case("a step of one value", file([zeros("step", [1])] + tensors()), .same(.passedOver, "'step'")),
    Case(
      "exp-orig-mod", wrapped("_orig_mod."),
      .same(
        .wrapperPrefix,
        "its names have the prefix '_orig_mod.' (torch.compile), and are read without: '_orig_mod.\(q)' is '\(q)'")),
    Case(
      "exp-module", wrapped("module."),
      .same(.wrapperPrefix, "the prefix 'module.' (DistributedDataParallel or DeepSpeed)")),
    Case("exp-base-model", wrapped("base_model.model."), .same(.wrapperPrefix, "'base_model.model.' (PEFT)")),
    Case("nested", wrapped("module._orig_mod."), .same(.wrapperPrefix, "the prefix 'module._orig_mod.'")),
    Case("model twice", wrapped("model."), .same(.wrapperPrefix, "the prefix 'model.', and")),
    Case("a trainer's", wrapped("agent.policy."), .same(.wrapperPrefix, "the prefix 'agent.policy.'")),
    Case(
      "FSDP",
      file(tensors { "_fsdp_wrapped_module." + $0.replacing(".self_attn", with: "._fsdp_wrapped_module.self_attn") }),
      .same(.wrapperPrefix, "(FSDP), and are read without")),
    Case(
      "exp-svfnames", file(tensors { String($0.dropLast(".weight".count)) }),
      .same(
        .shortNames,
        "its names lack '.weight', and are read with: 'model.layers.0.self_attn.q_proj' is '\(q)'")),
    Case(
      "without the head's model", file(tensors { String($0.dropFirst("model.".count)) }),
      .same(.shortNames, "its names lack 'model.'")),
    Case(
      "compiled, without .weight", file(tensors { "_orig_mod." + $0.dropLast(".weight".count) }),
      .same(.wrapperPrefix, "the prefix '_orig_mod.' (torch.compile)")),
    Case("the only part", file(tensors()), as: "x-00001-of-00001.safetensors", .same(nil, "")),
  ]

  private static let adapter = "an SVF expert has one vector a matrix, and no other adapter can be made into one"

  private static let otherTensors: [Case] = [
    Case(
      "exp-lora",
      file([
        zeros("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", [2, 4]),
        zeros("base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight", [4, 2]),
      ]),
      .refused(
        "not_an_expert",
        "this is a LoRA adapter (PEFT), as 'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight' shows; "
          + adapter)),
    Case(
      "LoRA of rank 1", file([zeros(q.replacing("weight", with: "lora_A.weight"), [1, 4])]),
      .refused("not_an_expert", "this is a LoRA adapter, as")),
    Case(
      "kohya's, with scalars",
      file([zeros("lora_unet_down_0_q.alpha", []), zeros("lora_unet_down_0_q.lora_down.weight", [2, 4])]),
      .refused("not_an_expert", "this is a LoRA adapter, as")),
    Case(
      "IA3", file([zeros("base_model.model.\(q.replacing("weight", with: "ia3_l"))", [1, 4])]),
      .refused("not_an_expert", "this is an IA3 adapter (PEFT)")),
    Case(
      "VeRA", file([zeros("base_model.model.\(q.replacing("weight", with: "vera_lambda_b"))", [4])]),
      .refused("not_an_expert", "this is a VeRA adapter (PEFT)")),
    Case(
      "textual inversion", file([zeros("emb_params", [2, 4])]),
      .refused("not_an_expert", "this is an embedding of textual inversion")),
    Case("prompt tuning", file([zeros("prompt_embeddings", [8, 4])]), .refused("not_an_expert", "prompt tuning")),
    Case(
      "a model", file([zeros("model.embed_tokens.weight", [8, 4]), zeros(q, [4, 4])]),
      .refused(
        "not_an_expert",
        "this is the weights of a model, as 'model.embed_tokens.weight' shows; a model is registered with t2ctl model add"
      )),
    Case(
      "a part of a model", file([zeros(q, [4, 4])]),
      .refused("not_a_vector", "a model's weights are registered with t2ctl model add")),
    Case(
      "a decomposition", file([zeros(q + ".U", [4, 4]), zeros(q + ".S", [4])]),
      .refused("not_an_expert", "this is a singular value decomposition")),
    Case(
      "an optimizer", file([zeros("exp_avg.\(q)", [4])]), .refused("not_an_expert", "this is the state of an optimizer")
    ),
    Case("FSDP's own", file([zeros("_flat_param", [16])]), .refused("not_an_expert", "this is a shard of FSDP")),
    // Its control file is seen where it is dropped; this is what its content says.
    Case(
      "exp-aria2: the rest is zeros", file([tensors()[0], zeros(vectors[1].name, [4])]),
      .refused("all_zero", "1 of 2 vectors hold nothing but zeros, the first is '\(vectors[1].name)'")),
    Case(
      "integers", file(tensors("I32")),
      .refused("unsupported_type", "tensor '\(q)' is of type I32; supported: F32, F16, BF16, F64")),
    Case(
      "wrapped, of another model", file([zeros("module.model.layers.7.mlp.up_proj.weight", [4])]),
      .refused(
        "unknown_matrix",
        "'module.model.layers.7.mlp.up_proj.weight' is not a target matrix of model 'tiny', with or without what is around "
          + "all names: the prefix 'module.' (DistributedDataParallel or DeepSpeed); did you mean "
          + "'model.layers.0.mlp.up_proj.weight'?")),
    Case(
      "a prefix that one name lacks", file(tensors() + [zeros("module.model.layers.0.mlp.up_proj.weight", [4])]),
      .refused("unknown_matrix", "'module.model.layers.0.mlp.up_proj.weight' is not a target matrix")),
    Case(
      "exp-shard", file(Array(tensors().prefix(1))), as: "math-00001-of-00002.safetensors",
      .refused(
        "part_of_an_expert",
        "this is part 1 of the 2 of an expert, 'math-00001-of-00002.safetensors' to 'math-00002-of-00002.safetensors', and "
          + "an expert is one file; where 'math.safetensors.index.json' is beside them, run t2ctl expert register "
          + "math.safetensors.index.json, else make one file of them: python3 -c")),
  ]

  private static let otherFormats: [Case] = [
    Case(
      "exp-lfs: a pointer", text("version https://git-lfs.github.com/spec/v1\noid sha256:ab12\nsize 414360\n"),
      .refused(
        "another_format",
        "expected a safetensors file, found a Git LFS pointer, not the file of 414360 bytes that it stands for; run "
          + "'git lfs pull' where it was cloned")),
    Case(
      "exp-lfs: a page", text("<!doctype html><html><head><title>401</title></head>"),
      .refused("another_format", "found a web page, with the title '401'; download the file itself")),
    Case(
      "exp-lfs: Entry not found", text("Entry not found"),
      .refused("another_format", "found a server's message: 'Entry not found'; download the file itself")),
    Case("a short message", text("404"), .refused("another_format", "found a server's message: '404'")),
    // Its first 8 bytes are a length like any other.
    Case(
      "exp-lfs: gzip", [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3, 0x93, 0x65],
      .refused("another_format", "found a gzip archive; unpack it first: gunzip")),
    Case("exp-lfs: empty", [], .refused("incomplete", "this is an empty file; copy or download it again")),
    Case(
      "zeros", [UInt8](repeating: 0, count: 5000),
      .refused("incomplete", "the first of the file's 5000 bytes are zeros, as an unfinished download leaves them")),
    Case("the first 3 bytes", [0x10, 1, 0], .refused("incomplete", "the file has 3 bytes, its header asks for 8")),
    Case("JSON", text(#"{"weight_map":{}}"#), .refused("another_format", "found a JSON text")),
    Case("words", text("hello"), .refused("another_format", "found a text")),
    Case(
      "torch.save", TorchArchive(pickle: Pickle.tensor()).bytes,
      .refused(
        "another_format", "found a PyTorch file; t2ctl expert import makes an expert of a file of torch.save")),
    Case(
      "a pickle", [0x80, 4, 0x95, 0x5A, 0, 0, 0, 0, 0, 0, 0, 0x7D],
      .refused("another_format", "found a pickle; t2ctl expert import")),
    Case(
      "GGUF", text("GGUF") + [3, 0, 0, 0, 1, 0], .refused("another_format", "found a GGUF file; a model is registered")),
  ]

  private func validated(_ bytes: [UInt8], as name: String) throws(ExpertFileError) -> ValidatedExpert {
    try ExpertFile.read(bytes: bytes, fileName: name).validated(against: [signature()])
  }

  @Test(arguments: good + otherTensors + otherFormats) func itsOutcomeIsThis(_ given: Case) throws {
    switch given.outcome {
    case .same(let code, let message):
      let expert = try validated(given.bytes, as: given.fileName)
      let plain = try validated(Self.file(Self.tensors()), as: "x.safetensors")
      #expect(expert.contentDigest == plain.contentDigest)
      #expect(expert.multiplierVector == plain.multiplierVector)
      let mended = expert.warnings.filter { $0.code != .missingBaseDigest && $0.code != .missingMetadata }
      #expect(mended.isEmpty == (code == nil), "\(mended)")
      if let code {
        let warning = try #require(mended.first { $0.code == code })
        #expect(warning.message.contains(message), "\(warning.message)")
      }
    case .refused(let code, let message):
      let error = #expect(throws: ExpertFileError.self) { try validated(given.bytes, as: given.fileName) }
      #expect(error?.code == code && error?.description.contains(message) == true, "\(error?.description ?? "")")
      #expect(error?.isIncomplete == (code == "incomplete"))
    }
  }

  /// Whoever reads the stored file and knows no model comes to the same content.
  @Test(arguments: good) func aMendedExpertIsItsOwnModel(_ given: Case) throws {
    let file = try ExpertFile.read(bytes: given.bytes, fileName: "x.safetensors")
    let own = try file.validated(against: try #require(file.signatureOfItsOwn(named: "m")))
    #expect(try own.contentDigest == validated(given.bytes, as: given.fileName).contentDigest)
  }

  // MARK: Files of torch.save

  /// Three layers whose mlp matrices have the rank 48.
  private static let model: ModelSignature = {
    let configuration = ModelConfiguration(
      modelID: "three", layers: 3, hidden: 48, intermediate: 96, heads: 4, kvHeads: 2, headDim: 12, vocabulary: 16,
      contextLength: 32, ropeTheta: 10000, rmsEpsilon: 1e-6, tiedEmbeddings: true)
    return ModelSignature(
      name: "three", modelID: "three", digest: digest("a"), architecture: "LlamaForCausalLM",
      layout: MultiplierLayout(configuration.targets))
  }()

  private static func torch(_ name: String) throws -> [UInt8] {
    try FileSystem.readAll(
      "\(repository)/Tests/Shared/ModelFormatsTests/Fixtures/cases/\(name).pt", maximumBytes: 1 << 20)
  }

  /// With the codes of what the importer is told, and a part of the first.
  @Test(
    arguments: [
      ("pt-plain", [], ""), ("pt-cuda", [], ""), ("pt-cuda3-grad", [], ""), ("pt-half", [], ""), ("pt-flat", [], ""),
      ("pt-learnable-params", [], ""),
      ("pt-double", [.rounded], "9 of 9 vectors are of 64 bits a value"),
      (
        "pt-module-prefix", [.wrapperPrefix],
        "its names have the prefix 'module.' (DistributedDataParallel or DeepSpeed), and are read without"
      ),
      (
        "pt-checkpoint", [.passedOver],
        "the vectors are those of its entry 'policy'; passed over is what lies beside them: 'optimizer' (a dictionary), "
          + "'step' (an integer)"
      ),
      ("pt-checkpoint-ns", [.passedOver], "'args' ('argparse.Namespace')"),
      (
        "pt-withdtype", [.passedOver],
        "its entry 'params'; passed over is what lies beside them: 'dtype' ('torch.float32')"
      ),
    ] as [(String, [ExpertWarning.Code], String)])
  func aFileOfTorchSaveBecomesAnExpert(name: String, codes: [ExpertWarning.Code], message: String) throws {
    let imported = try SakanaExpert(TorchFile(try Self.torch(name)), for: Self.model)
    #expect(imported.warnings.map(\.code) == codes)
    #expect(imported.warnings.first.map { $0.message.contains(message) } ?? true, "\(imported.warnings)")
    let expert = try ExpertFile.read(bytes: imported.bytes(name: "e", label: nil), fileName: "e.safetensors")
      .validated(against: [Self.model])
    #expect(expert.parameters.count == 9 && expert.parameters.allSatisfy { $0.values.count == 48 })
    #expect(expert.warnings.isEmpty)
  }

  @Test(arguments: [
    ("pt-alpha", "it holds one vector, 'alpha' of 3 values, as a search saves the coefficients"),
    (
      "pt-legacy",
      "expected a file of torch.save, found one of before PyTorch 1.6; convert it: python3 -c \"import torch; torch.save("
        + "torch.load('FILE', map_location='cpu', weights_only=True), 'NEW.pt')\""
    ),
    (
      "pt-compressed",
      "is compressed, as torch.save leaves none: it was packed again; store its entries as they are: python3"
    ),
  ])
  func aFileOfTorchSaveIsRefusedWithWhatToDo(name: String, message: String) throws {
    let error = try #require(throws: (any Error).self) {
      try SakanaExpert(TorchFile(try Self.torch(name)), for: Self.model)
    }
    #expect("\(error)".contains(message), "\(error)")
  }
}
