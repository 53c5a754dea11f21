/// The seven target matrices of a layer, in the order in which models store and layouts count them.
package enum Projection: Int, CaseIterable, Sendable {
  case query, key, value, output, gate, up, down

  /// The name within a layer, as in Hugging Face's checkpoints.
  var tensorName: String {
    switch self {
    case .query: "self_attn.q_proj.weight"
    case .key: "self_attn.k_proj.weight"
    case .value: "self_attn.v_proj.weight"
    case .output: "self_attn.o_proj.weight"
    case .gate: "mlp.gate_proj.weight"
    case .up: "mlp.up_proj.weight"
    case .down: "mlp.down_proj.weight"
    }
  }
}

/// The dimensions of a Llama model, and where its matrices lie.
package struct ModelShape: Sendable, Equatable {
  package var layers: Int
  package var hidden: Int
  package var intermediate: Int
  package var heads: Int
  package var keyValueHeads: Int
  package var headDimension: Int
  package var vocabulary: Int
  package var context: Int
  package var epsilon: Float

  /// Query heads that share one key and value head.
  var group: Int { heads / keyValueHeads }
  /// Columns of the attention's output.
  var queryWidth: Int { heads * headDimension }
  var keyWidth: Int { keyValueHeads * headDimension }
  /// Head-sized pieces of one row's queries, keys and values together.
  var headUnits: Int { heads + 2 * keyValueHeads }

  /// Outputs of a target matrix.
  func rows(_ projection: Projection) -> Int {
    switch projection {
    case .query: queryWidth
    case .key, .value: keyWidth
    case .output, .down: hidden
    case .gate, .up: intermediate
    }
  }

  /// Inputs of a target matrix.
  func columns(_ projection: Projection) -> Int {
    switch projection {
    case .query, .key, .value, .gate, .up: hidden
    case .output: queryWidth
    case .down: intermediate
    }
  }

  func rank(_ projection: Projection) -> Int { min(rows(projection), columns(projection)) }
  func size(_ projection: Projection) -> Int { rows(projection) * columns(projection) }

  /// Where a matrix begins in the block of its layer: q, k, v are one matrix of `headUnits` heads, gate and up one of
  /// twice the intermediate size, without gaps.
  func offset(_ projection: Projection) -> Int {
    var offset = 0
    for other in Projection.allCases where other.rawValue < projection.rawValue { offset += size(other) }
    return offset
  }

  /// Floats of one layer's seven matrices.
  var layerSize: Int { Projection.allCases.reduce(0) { $0 + size($1) } }
}
