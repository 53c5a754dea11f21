internal import ModelFormats

/// The matrices of a layer that read one input: their outputs follow each other in the stage's output, and the
/// intermediates of their factored form lie side by side. Whether a checkpoint fuses them shows here only.
struct Stage: Sendable, Equatable {
  /// In the order of a layer.
  enum Kind: Sendable, CaseIterable {
    /// Queries, keys and values.
    case heads
    case output
    /// Gate, then up.
    case gateUp
    case down
  }

  struct Matrix: Sendable, Equatable {
    let projection: Projection
    /// Among the target matrices of its layer.
    let number: Int
    /// Of the stage's outputs.
    let outputs: Range<Int>
    /// Of the columns of the stage's factored intermediate; none where it is not factored.
    let factors: Range<Int>
    /// Floats of a layer's block of factored matrices before this one, which lie one after the other without gaps,
    /// (outputs, inputs).
    let offset: Int
    var rank: Int { factors.count }
    var isFactored: Bool { !factors.isEmpty }
  }

  let kind: Kind
  let matrices: [Matrix]
  let inputs: Int
  let outputs: Int
  /// Columns of the factored intermediate.
  let factors: Int
  let hasBias: Bool

  /// Floats of its matrices, and of those that are factored.
  var size: Int { outputs * inputs }
  var factoredSize: Int { matrices.reduce(0) { $0 + ($1.isFactored ? $1.outputs.count * inputs : 0) } }

  init(_ kind: Kind, _ configuration: ModelConfiguration, firstNumber: Int, offset: Int) {
    let projections = configuration.projections.filter { $0.stage == kind }
    var matrices: [Matrix] = []
    var (output, factor, offset) = (0, 0, offset)
    for projection in projections {
      let (rows, columns) = (configuration.rows(projection), configuration.columns(projection))
      let isFactored = configuration.isFactored(projection)
      let rank = isFactored ? min(rows, columns) : 0
      matrices.append(
        Matrix(
          projection: projection, number: firstNumber + matrices.count, outputs: output..<output + rows,
          factors: factor..<factor + rank, offset: offset))
      output += rows
      factor += rank
      if isFactored { offset += rows * columns }
    }
    self.kind = kind
    self.matrices = matrices
    inputs = projections.first.map { configuration.columns($0) } ?? 0
    outputs = output
    factors = factor
    hasBias = projections.contains { configuration.biases.contains($0) }
  }
}

extension Projection {
  var stage: Stage.Kind {
    switch self {
    case .query, .key, .value, .queryKeyValue: .heads
    case .output: .output
    case .gate, .up, .gateUp: .gateUp
    case .down: .down
    }
  }
}
