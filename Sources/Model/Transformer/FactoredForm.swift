internal import Multipliers

/// In which form rows under a vector s of multipliers are multiplied; all give W' x = U diag(s σ) Vᵀ x. With W (m, n) and Q
/// (r, r), r = min(m, n), a matrix is on the left side where m <= n and on the right where m > n.
package enum FactoredForm: Sendable, CaseIterable {
  /// With the product of Q and W in memory beside Q: y = Q (s ⊙ (A x)) with A = Qᵀ W, or y = B (s ⊙ (Qᵀ x)) with B = W Q;
  /// m n + r² multiplications a row.
  case products
  /// With W itself and Q, so that s = 1 gives W x: y = W x, y += Q ((s − 1) ⊙ (Qᵀ y)); or x' = x + Q ((s − 1) ⊙ (Qᵀ x)),
  /// y = W x'; m n + 2 r² a row.
  case weights
}

/// What the factored rows of a pass multiply by: the vectors, and the form in which.
struct FactoredRows: Sendable {
  let table: MultiplierTable
  let form: FactoredForm
}

/// What decides the form of a pass: the shapes of a model and how its weights are stored, never time.
struct FactoredForms: Sendable {
  /// Σ m n, Σ r², and the widest r² of a matrix.
  let values: Int
  let squares: Int
  let widestSquare: Int
  /// Of the target matrices, as they are stored.
  let weightBytes: Int
  /// The form of every pass, whatever it costs.
  var only: FactoredForm?

  /// Q and its products in memory at most: those of 1B would take 5.3 GB, of SmolLM2-135M 0.6.
  static let productLimit = 1_500_000_000
  /// Bytes that are read from memory while a multiplication is done, by all cores: 24 GB/s and 120 · 10⁹ multiplications.
  private static let bytesPerMultiplication = 0.2
  /// Of a cache from which a Q is read again that was read a moment before.
  private static let cacheBytes = 8 << 20

  init(_ layout: MultiplierLayout, _ weights: ModelWeights) {
    self.init(layout, weightBytes: weights.matrixBytes)
  }

  init(_ layout: MultiplierLayout, weightBytes: Int) {
    values = layout.matrices.reduce(0) { $0 + $1.rows * $1.columns }
    squares = layout.matrices.reduce(0) { $0 + $1.rank * $1.rank }
    widestSquare = layout.matrices.reduce(0) { max($0, $1.rank * $1.rank) }
    self.weightBytes = weightBytes
  }

  /// Of Q and what the form of products multiplies by, in floats.
  var productBytes: Int { float * (values + squares) }

  /// The form for a pass of so many factored rows.
  func form(rows: Int) -> FactoredForm {
    if let only { return only }
    guard productBytes <= Self.productLimit else { return .weights }
    return FactoredForm.allCases.min { cost($0, rows: rows) < cost($1, rows: rows) } ?? .weights
  }

  /// What a pass costs, in bytes: those it reads, and those that it could have read while it multiplies.
  func cost(_ form: FactoredForm, rows: Int) -> Double {
    switch form {
    case .products:
      return Double(productBytes) + multiplying(rows * (values + squares))
    case .weights:
      let readings = float * widestSquare <= Self.cacheBytes ? 1 : 2
      return Double(readingWeights(rows: rows) + readings * float * squares)
        + multiplying(rows * (values + 2 * squares))
    }
  }

  /// W; where many rows are to be multiplied, it is widened first, unless it is stored as floats.
  private func readingWeights(rows: Int) -> Int {
    let isStored = weightBytes < float * values
    return weightBytes + (isStored && rows > fewRowsLimit ? float * values : 0)
  }

  private func multiplying(_ count: Int) -> Double { Self.bytesPerMultiplication * Double(count) }
}

private let float = MemoryLayout<Float>.stride

extension LanguageModel {
  /// What the factored rows of a pass multiply by; nil where it has none. Blocks while the products of Q and W are made, for
  /// the first pass that takes their form.
  /// - Parameter vectors: those that the batch's views are numbers of.
  func factored(_ vectors: MultiplierTable?, _ batch: TokenBatch) -> FactoredRows? {
    guard let vectors else { return nil }
    return factored(vectors, rows: batch.views.count { $0 >= 0 })
  }

  func factored(_ vectors: MultiplierTable, rows: Int) -> FactoredRows {
    let form = forms.form(rows: rows)
    if form == .products { makeProducts() }
    return FactoredRows(table: vectors, form: form)
  }

  /// The products of Q and W, where they are not there yet.
  func makeProducts() {
    unsafe factorization.makeProducts(
      weights: { [weights] in unsafe weights.widened($0, $1) }, pool: pool, priority: .interactive)
  }
}
