/// Which matrices have an addition of low rank, y = W x + (α / r) B (A x) with A (r, n) and B (m, r): LoRA,
/// arXiv:2106.09685. It stands beside the multipliers for comparison.
///
/// Query, key and value projections only, which read one input: the paper compares with LoRA on q and v. Where a checkpoint
/// has the three in one matrix, that one has one addition of rank r, as PEFT gives it: its A serves all three. Parameters
/// lie flat, matrix by matrix in the model's order, A before B.
package struct LowRankLayout: Sendable, Equatable {
  package let rank: Int
  /// α / r. With α = 2 r, as is common, the rank alone decides nothing about the size of a step.
  package let scale: Float = 2
  /// By the model's layout, ascending.
  package let matrices: [Int]
  /// Of all A and B.
  package let count: Int
  /// Target matrices of a layer.
  private let perLayer: Int
  /// By number in ``matrices``: where A and B begin.
  private let offsets: [(a: Int, b: Int)]

  /// - Parameter matrices: ascending numbers of the model's layout, of which ``LanguageModel/canBeAdapted(_:)`` is true.
  package init(rank: Int, matrices: [Int], of model: LanguageModel) {
    precondition(rank > 0 && matrices.allSatisfy(model.canBeAdapted), "rank \(rank) for the matrices \(matrices)")
    let layout = model.layout
    perLayer = model.shape.matrices.count
    self.rank = rank
    self.matrices = matrices
    var offsets: [(a: Int, b: Int)] = []
    var count = 0
    for matrix in matrices {
      let b = count + rank * layout.matrices[matrix].columns
      offsets.append((count, b))
      count = b + layout.matrices[matrix].rows * rank
    }
    self.offsets = offsets
    self.count = count
  }

  /// The places of A, (rank, inputs), and of B, (outputs, rank).
  package func ranges(of number: Int) -> (a: Range<Int>, b: Range<Int>) {
    let (a, b) = offsets[number]
    return (a..<b, b..<(number + 1 < offsets.count ? offsets[number + 1].a : count))
  }

  /// The numbers, in ``matrices``, of a layer's matrices.
  func numbers(layer: Int) -> Range<Int> {
    let first = layer * perLayer
    let start = matrices.firstIndex { $0 >= first } ?? matrices.count
    return start..<(matrices.firstIndex { $0 >= first + perLayer } ?? matrices.count)
  }

  package static func == (left: LowRankLayout, right: LowRankLayout) -> Bool {
    left.rank == right.rank && left.matrices == right.matrices && left.count == right.count
  }
}

extension LanguageModel {
  /// Whether a matrix of the layout may have an addition of low rank.
  package func canBeAdapted(_ matrix: Int) -> Bool { shape.matrix(matrix).projection.stage == .heads }
}
