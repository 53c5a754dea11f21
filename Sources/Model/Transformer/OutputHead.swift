internal import Glibc
internal import LinearAlgebra

/// The log-probabilities of wanted tokens after each output row, without a matrix of rows x vocabulary: the vocabulary
/// goes by in blocks, of which a largest logit, a sum and the wanted logits remain. Reduced in the order of blocks.
///
/// `@unchecked Sendable`: each tile writes the places of its own block and rows.
final class OutputHead: @unchecked Sendable {
  private let weights: ModelWeights
  private let form: LogitForm
  private let input: FloatBuffer  // (rows, hidden), after the final norm and what it is divided by
  /// For each output row, the tokens asked for.
  private let targets: [[Int32]]
  /// The first place of each row in `picked`.
  private let firstTarget: [Int]
  private let rowBlocks: [Range<Int>]
  private let vocabularyBlocks: [Range<Int>]
  private let partial: FloatBuffer  // (rows, vocabulary blocks, 2): largest, sum of e^(logit - largest)
  private let picked: FloatBuffer  // (all targets)
  /// (rows, vocabulary): where the logits stay, if they do.
  private let kept: FloatBuffer?

  /// Rows of weights in a tile: 2048 of SmolLM2 are 4.7 MB.
  static let vocabularyBlock = 2048
  private static let rowBlock = 128

  convenience init(pass: ForwardPass, targets: [[Int32]]) {
    precondition(
      targets.count == pass.outputRows.count, "targets for \(targets.count) of \(pass.outputRows.count) rows")
    self.init(weights: pass.weights, form: pass.logitForm, input: pass.gathered, targets: targets)
  }

  init(
    weights: ModelWeights, form: LogitForm, input: FloatBuffer, targets: [[Int32]], keeping kept: FloatBuffer? = nil
  ) {
    self.weights = weights
    self.form = form
    self.input = input
    self.targets = targets
    self.kept = kept
    var firstTarget: [Int] = []
    var total = 0
    for row in targets {
      firstTarget.append(total)
      total += row.count
    }
    self.firstTarget = firstTarget
    rowBlocks = blocks(targets.count, (targets.count + Self.rowBlock - 1) / Self.rowBlock)
    vocabularyBlocks = Self.vocabularyBlocks(weights.shape)
    partial = FloatBuffer(count: targets.count * vocabularyBlocks.count * 2)
    picked = FloatBuffer(count: total)
  }

  static func vocabularyBlocks(_ shape: ModelShape) -> [Range<Int>] {
    blocks(shape.vocabulary, (shape.vocabulary + vocabularyBlock - 1) / vocabularyBlock)
  }

  var tileCount: Int { rowBlocks.count * vocabularyBlocks.count }

  func run(tile: Int, _ scratch: Scratch) {
    let block = tile / rowBlocks.count
    let rows = rowBlocks[tile % rowBlocks.count]
    let columns = vocabularyBlocks[block]
    let vocabulary = weights.shape.vocabulary
    let stride = kept == nil ? columns.count : vocabulary
    let logits: UnsafeMutablePointer<Float>
    if let kept {
      unsafe logits = kept.pointer + rows.lowerBound * vocabulary + columns.lowerBound
    } else {
      unsafe logits = scratch.floats(ScratchSlot.logits, count: rows.count * columns.count)
    }
    unsafe weights.logits(
      of: input.pointer + rows.lowerBound * weights.shape.hidden, rows: rows.count, tokens: columns, form, to: logits,
      stride: stride, scratch)
    for row in rows {
      let x = unsafe logits + (row - rows.lowerBound) * stride
      let largest = unsafe maximum(x, count: columns.count)
      let place = (row * vocabularyBlocks.count + block) * 2
      unsafe partial.pointer[place] = largest
      unsafe partial.pointer[place + 1] = exponentialSum(x, count: columns.count, offset: largest)
      for (index, target) in targets[row].enumerated() where columns.contains(Int(target)) {
        unsafe picked.pointer[firstTarget[row] + index] = x[Int(target) - columns.lowerBound]
      }
    }
  }

  /// After all tiles: ln Σ e^logit of an output row.
  func normalizer(_ row: Int) -> Float {
    var largest = -Float.infinity
    for block in vocabularyBlocks.indices {
      largest = unsafe max(largest, partial.pointer[(row * vocabularyBlocks.count + block) * 2])
    }
    var sum = 0.0
    for block in vocabularyBlocks.indices {
      let place = (row * vocabularyBlocks.count + block) * 2
      sum += unsafe Double(partial.pointer[place + 1]) * Double(exponential(partial.pointer[place] - largest))
    }
    return largest + Float(logarithm(sum))
  }

  /// After all tiles: for each output row the log-probabilities of its targets.
  func logprobs() -> [[Float]] {
    targets.indices.map { row in
      let normalizer = normalizer(row)
      return targets[row].indices.map { unsafe picked.pointer[firstTarget[row] + $0] - normalizer }
    }
  }
}

/// ln x in double, by libm.
private func logarithm(_ x: Double) -> Double { log(x) }
