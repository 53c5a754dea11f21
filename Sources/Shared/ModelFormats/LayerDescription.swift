/// A target matrix of a layer, by what it computes. A model has the first seven in each layer, or where its checkpoint
/// fuses them ``queryKeyValue`` and ``gateUp`` in place of five of them.
package enum Projection: CaseIterable, Sendable {
  case query, key, value, output, gate, up, down
  /// Rows of queries, then of keys, then of values.
  case queryKeyValue
  /// Rows of gate, then of up.
  case gateUp

  /// The name within a layer, as in Hugging Face's checkpoints.
  package var tensorName: String { module + ".weight" }
  package var biasName: String { module + ".bias" }

  private var module: String {
    switch self {
    case .query: "self_attn.q_proj"
    case .key: "self_attn.k_proj"
    case .value: "self_attn.v_proj"
    case .queryKeyValue: "self_attn.qkv_proj"
    case .output: "self_attn.o_proj"
    case .gate: "mlp.gate_proj"
    case .up: "mlp.up_proj"
    case .gateUp: "mlp.gate_up_proj"
    case .down: "mlp.down_proj"
    }
  }
}

/// The RMS norms of a layer. Where a checkpoint stores w for a factor of 1 + w, its reader has added the 1.
package enum Norms: Sendable, Equatable {
  /// x += attention(norm(x)); x += mlp(norm(x)).
  case before
  /// x += norm(attention(norm(x))); x += norm(mlp(norm(x))).
  case around

  /// The names within a layer, in the order of use.
  package var tensorNames: [String] {
    switch self {
    case .before: ["input_layernorm.weight", "post_attention_layernorm.weight"]
    case .around:
      [
        "input_layernorm.weight", "post_attention_layernorm.weight", "pre_feedforward_layernorm.weight",
        "post_feedforward_layernorm.weight",
      ]
    }
  }
}

package enum Activation: Sendable, Equatable {
  /// x / (1 + e^-x)
  case silu
  /// 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³)))
  case tanhGELU
}

/// What a layer's attention sees, and how positions enter it.
package struct LayerAttention: Sendable, Equatable {
  /// A row at p sees the positions p - window + 1 ... p; nil: all up to p.
  package var window: Int?
  /// Which of the model's rotations turns queries and keys; nil: none does.
  package var rotation: Int?

  package init(window: Int? = nil, rotation: Int? = 0) {
    self.window = window
    self.rotation = rotation
  }
}

/// Channel j of a head and channel j + d/2 turn together by the position times f_j, which is theta^(-2j/d) but for the
/// scaling.
package struct Rotation: Sendable, Equatable {
  package enum Scaling: Sendable, Equatable {
    case none
    /// f_j / factor.
    case linear(factor: Double)
    /// Long waves are slowed by `factor`, short ones are not, and those between in part (Llama 3.1).
    case llama3(factor: Double, lowFrequency: Double, highFrequency: Double, originalContext: Int)
    /// f_j / divisors[j], d/2 of them, as GGUF's rope_freqs.weight has them.
    case divided([Float])
  }

  package var theta: Double
  package var scaling: Scaling

  package init(theta: Double, scaling: Scaling = .none) {
    self.theta = theta
    self.scaling = scaling
  }
}
