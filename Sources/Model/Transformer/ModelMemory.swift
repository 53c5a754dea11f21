package import ModelFormats
internal import Multipliers
package import SVF

/// What a model needs of memory, by part, in bytes: from its configuration and the types of its tensors alone, so that it
/// can be said of a model that is not there, and before one is loaded.
package struct ModelMemory: Sendable {
  package let shape: ModelShape
  /// Of the weights that are held: the target matrices, embedding and head, norms and biases.
  package let targets: Int
  package let embedding: Int
  package let rest: Int
  /// The file of the factorization, which is mapped.
  package let factors: Int
  /// How its Q is kept: `single` or `half`.
  package let precision: String
  /// Products of it and the weights, which are made when a mixture first needs them; 0 where they are not.
  package let products: Int
  /// What the vectors of long answers change, as far as it is kept (``KeptChanges``), gaps aside; 0 where it is not made.
  package let vectorChanges: Int
  /// What one compute thread works in while matrices are factored.
  package let factorizingPerThread: Int

  /// - Parameters:
  ///   - precision: of Q; nil is ``FactorPrecision/standard(for:)``.
  ///   - type: how a tensor is stored, by its name.
  package init(
    _ configuration: ModelConfiguration, precision: FactorPrecision? = nil, type: (String) -> ElementType
  ) {
    shape = ModelShape(configuration, contextLimit: LanguageModel.contextLimit)
    let layout = MultiplierLayout(configuration.targets)
    var (targets, factoredTargets, embedding, rest) = (0, 0, 0, 0)
    for (name, dimensions) in configuration.requiredTensors {
      let bytes = ModelWeights.heldBytes(dimensions, as: type(name))
      if let index = layout.index(of: name) {
        targets += bytes
        if layout.matrices[index].isFactored { factoredTargets += bytes }
      } else if dimensions.count == 2 {
        embedding += bytes
      } else {
        rest += bytes
      }
    }
    (self.targets, self.embedding, self.rest) = (targets, embedding, rest)
    let chosen = precision ?? .standard(for: layout)
    factors = Factorization.byteCount(of: layout, precision: chosen)
    self.precision = chosen.rawValue
    let forms = FactoredForms(layout, weightBytes: factoredTargets, precision: chosen)
    products = forms.mayHaveProducts ? Factorization.productBytes(of: layout) : 0
    let change = MemoryLayout<Float16>.stride * forms.squares
    vectorChanges =
      forms.changePays(tokens: shape.context) ? min(KeptChanges.countLimit, KeptChanges.byteLimit / change) * change : 0
    factorizingPerThread = layout.matrices.filter(\.isFactored).reduce(0) { largest, target in
      // What is not stored as floats is widened first.
      let widened = type(target.name) == .f32 ? 0 : target.rows * target.columns * MemoryLayout<Float>.stride
      return max(largest, factorizationBytes(of: target) + widened)
    }
  }

  /// Of a model that can be read.
  package init(_ file: OpenModel, precision: FactorPrecision? = nil) {
    self.init(file.configuration, precision: precision) { file.elementType(of: $0) ?? .f32 }
  }

  package var weights: Int { targets + embedding + rest }
  /// What stays as long as the model is loaded, mapped pages included.
  package var held: Int { weights + factors + products }
  /// What of it is the process's own, with what one pass works in: less cannot answer anything.
  package var least: Int { weights + products + pass }
  package var pass: Int { shape.passBytes(rows: LanguageModel.batchRows) }
}

extension ModelShape {
  private var float: Int { MemoryLayout<Float>.stride }

  /// What a pass of so many rows works in, with a stream of its own.
  package func passBytes(rows: Int) -> Int {
    Workspace.byteCount(shape: self, capacity: rows) + rows * hidden * float
  }

  /// Keys and values of sequences of that length that are decoded together.
  package func decodingBytes(positions: Int, sequences: Int) -> Int {
    sequences * KeyValueCache.byteCount(shape: self, positions: positions)
  }

  /// What a gradient takes beside the model, by what the recorded pass allocates: the stream before every layer, what is
  /// kept for the way back, and what a pass works in.
  /// - Parameters:
  ///   - rows: of one tape, of which every one may need logits.
  ///   - longest: rows of its longest item, which is not cut.
  ///   - memory: for activations and logits that are kept; see ``GradientTape/standardMemory``.
  package func gradientBytes(rows: Int, longest: Int, memory: Int) -> Int {
    let pass = max(min(rows, LanguageModel.batchRows), longest)
    let kept = min(
      memory, layers * LayerRecord.byteCount(shape: self, rows: rows, rest: rows) + rows * vocabulary * float)
    // See BackwardState.
    let multipliers = 2 * layers * stages.reduce(0) { $0 + $1.factors }
    return kept + LayerRecord.byteCount(shape: self, rows: pass, rest: pass)
      + RecordSpace.byteCount(shape: self, rows: pass, scores: scoreCount(rows: pass))
      + (layers * rows * hidden + 2 * pass * hidden + multipliers) * float + RecordedHead.groupBytes
  }

  /// Scores of attention of so many rows at most: of one sequence, whose blocks see all before them as far as the widest
  /// window reaches.
  private func scoreCount(rows: Int) -> Int {
    let block = AttentionBlock.rowLimit
    let window = windows.contains(nil) ? rows : windows.reduce(0) { max($0, $1 ?? 0) }
    return heads * rows * min((rows + block + 1) / 2, window + block)
  }

  /// Whether the matrices of so many experts stay, with that much for them.
  func basisIsResident(experts: Int, budget: Int) -> Bool { experts * layers * factoredLayerSize * float <= budget }

  /// What comparing populations of mixtures takes beside the model: the experts' matrices, of all layers where they stay
  /// and else of one, and on each thread what a matrix is widened, made and mixed in.
  package func searchBytes(experts: Int, threads: Int, isResident: Bool) -> Int {
    let rank = matrices.reduce(0) { max($0, $1.rank) }
    let mixed = stages.reduce(0) { max($0, $1.size) }
    let basis = experts * (isResident ? layers : 1) * factoredLayerSize
    return (basis + threads * (3 * rank * rank + 2 * mixed)) * float
  }

  /// As little as it can be, or with the matrices of all layers where they fit the standard.
  package func searchBytes(experts: Int, threads: Int) -> Int {
    searchBytes(
      experts: experts, threads: threads,
      isResident: basisIsResident(experts: experts, budget: ExpertBasis.standardBudget))
  }
}
