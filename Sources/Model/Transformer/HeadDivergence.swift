import Settings
internal import LinearAlgebra

/// The base's distributions after the output rows of a recorded pass, and how far π's are from them: exactly, over the
/// whole vocabulary.
///
/// Of the base the head's input is kept, not its logits, which are computed again where they are needed: rows x hidden
/// instead of rows x vocabulary.
///
/// `@unchecked Sendable`: tiles write places of their own; `values` is set between phases.
final class HeadDivergence: @unchecked Sendable {
  private let direction: DivergenceDirection
  private let weights: ModelWeights
  private let form: LogitForm
  private let input: FloatBuffer  // (output rows, hidden), after the final norm and what it is divided by
  private let normalizers: [Float]
  private let vocabularyBlocks: [Range<Int>]
  private let partial: FloatBuffer  // (output rows, vocabulary blocks)
  /// By output row, once ``finish()`` was called.
  private(set) var values: [Double] = []

  init(_ direction: DivergenceDirection, _ pass: ForwardPass, normalizers: [Float]) {
    self.direction = direction
    weights = pass.weights
    form = pass.logitForm
    input = pass.gathered
    self.normalizers = normalizers
    vocabularyBlocks = OutputHead.vocabularyBlocks(weights.shape)
    partial = FloatBuffer(count: normalizers.count * vocabularyBlocks.count)
  }

  /// A block of the vocabulary's part of some rows' divergences.
  /// - Parameters:
  ///   - x: π's logits of the rows, `stride` apart, from the block's first token on.
  ///   - adapted: π's normalizer of every output row.
  func measure(
    _ rows: Range<Int>, block: Int, _ x: UnsafePointer<Float>, stride: Int, adapted: [Float], _ scratch: Scratch
  ) {
    let columns = vocabularyBlocks[block]
    let base = unsafe logits(rows, columns, scratch)
    for row in rows {
      let place = row - rows.lowerBound
      let (x, y) = unsafe (x + place * stride, base + place * columns.count)
      unsafe partial.pointer[row * vocabularyBlocks.count + block] =
        switch direction {
        case .paper:
          unsafe divergence(x, normalizer: adapted[row], from: y, normalizer: normalizers[row], count: columns.count)
        case .reference:
          unsafe divergence(y, normalizer: normalizers[row], from: x, normalizer: adapted[row], count: columns.count)
        }
    }
  }

  /// After all blocks of all rows; summed in the order of blocks.
  func finish() {
    values = normalizers.indices.map { row in
      vocabularyBlocks.indices.reduce(0.0) { sum, block in
        unsafe sum + Double(partial.pointer[row * vocabularyBlocks.count + block])
      }
    }
  }

  /// gradient += factor · dKL/dx of some tokens after some rows, where x holds π's logits.
  ///
  /// KL(π ‖ base) = Σ p (ln p − ln q): p_j ((ln p_j − ln q_j) − KL). KL(base ‖ π): p_j − q_j.
  /// - Parameter x: π's logits, and `gradient` beside them, both `stride` apart.
  func addGradient(
    _ rows: Range<Int>, _ columns: Range<Int>, x: UnsafePointer<Float>, factor: (Int) -> Float, adapted: [Float],
    to gradient: UnsafeMutablePointer<Float>, stride: Int, _ scratch: Scratch
  ) {
    let base = unsafe logits(rows, columns, scratch)
    for row in rows {
      let place = row - rows.lowerBound
      let (x, y) = unsafe (x + place * columns.count, base + place * columns.count)
      unsafe addDivergenceGradient(
        gradient + place * stride, x, normalizer: adapted[row], base: y, baseNormalizer: normalizers[row],
        towards: direction == .paper ? Float(values[row]) : nil, factor: factor(row), count: columns.count)
    }
  }

  /// The base's, (rows, columns), in the thread's scratch.
  private func logits(_ rows: Range<Int>, _ columns: Range<Int>, _ scratch: Scratch) -> UnsafeMutablePointer<Float> {
    let y = unsafe scratch.floats(ScratchSlot.logits, count: rows.count * columns.count)
    unsafe weights.logits(
      of: input.pointer + rows.lowerBound * weights.shape.hidden, rows: rows.count, tokens: columns, form, to: y,
      stride: columns.count, scratch)
    return unsafe y
  }
}
