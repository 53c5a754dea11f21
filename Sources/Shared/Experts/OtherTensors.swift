/// What a file of tensors is that people take for an expert, told from its names: adapters of other methods, a model's
/// weights, the state of an optimizer.
package struct OtherTensors: Sendable, Equatable {
  /// With its article.
  let name: String
  /// The tensor that shows it.
  let tensor: String
  let advice: String

  private enum Mark {
    /// A component of a name, between points.
    case component(String)
    /// How such a component begins, as `lora_A` and `lora_down` do.
    case beginning(String)

    func fits(_ component: Substring) -> Bool {
      switch self {
      case .component(let wanted): component == wanted
      case .beginning(let wanted): component.hasPrefix(wanted)
      }
    }
  }

  private static let adapter =
    "an SVF expert has one vector a matrix, and no other adapter can be made into one; train one with t2ctl train"
  private static let model = "a model is registered with t2ctl model add"

  private static let kinds: [(marks: [Mark], name: String, advice: String)] = [
    // Names of kohya's trainers begin with lora_ too, whatever the method.
    ([.beginning("hada_"), .beginning("lokr_")], "a LyCORIS adapter", adapter),
    ([.beginning("oft_"), .beginning("boft_")], "an OFT adapter", adapter),
    ([.beginning("vera_")], "a VeRA adapter", adapter),
    ([.beginning("ia3_")], "an IA3 adapter", adapter),
    ([.beginning("lora_"), .component("lora")], "a LoRA adapter", adapter),
    ([.component("prompt_embeddings")], "the prompt of prompt tuning", adapter),
    (
      [.component("emb_params"), .component("string_to_param"), .component("clip_l"), .component("clip_g")],
      "an embedding of textual inversion", adapter
    ),
    (
      [.component("exp_avg"), .component("exp_avg_sq"), .component("momentum_buffer")], "the state of an optimizer",
      "save the parameters that it trains"
    ),
    (
      [.component("_flat_param"), .component("flat_param")], "a shard of FSDP",
      "save the state_dict() with FULL_STATE_DICT, which has the parameters by their names"
    ),
  ]

  /// Of a whole model, or of a part of one; a matrix of that name is no vector of multipliers.
  private static let modelComponents = [
    "embed_tokens", "lm_head", "tok_embeddings", "word_embeddings", "wte", "token_embd", "embeddings",
  ]
  /// The factors of a decomposition, as the last component.
  private static let factors = ["U", "S", "V", "Vh", "Vt"]

  init?(_ tensors: [(name: String, shape: [Int])]) {
    for (marks, name, advice) in Self.kinds {
      for tensor in tensors {
        let components = tensor.name.split(separator: ".")
        guard marks.contains(where: { mark in components.contains { mark.fits($0) } }) else { continue }
        let isOfPEFT = name.hasSuffix("adapter") && tensor.name.hasPrefix("base_model.")
        self.init(name: name + (isOfPEFT ? " (PEFT)" : ""), tensor: tensor.name, advice: advice)
        return
      }
    }
    func last(_ name: String) -> String { name.split(separator: ".").last.map { String($0) } ?? "" }
    if let first = tensors.first, tensors.count > 1,
      tensors.allSatisfy({ $0.name.contains(".") && Self.factors.contains(last($0.name)) })
    {
      self.init(
        name: "a singular value decomposition", tensor: first.name,
        advice: "an expert has the multipliers of the singular values alone")
      return
    }
    let ofModel = tensors.first { tensor in
      Self.isMatrix(tensor.shape)
        && tensor.name.split(separator: ".").contains { Self.modelComponents.contains(String($0)) }
    }
    guard let ofModel else { return nil }
    self.init(name: "the weights of a model", tensor: ofModel.name, advice: Self.model)
  }

  private init(name: String, tensor: String, advice: String) {
    (self.name, self.tensor, self.advice) = (name, tensor, advice)
  }

  static func isMatrix(_ shape: [Int]) -> Bool { shape.filter { $0 > 1 }.count > 1 }
}
