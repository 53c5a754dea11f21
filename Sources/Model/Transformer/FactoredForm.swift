internal import Multipliers
internal import SVF

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
  /// Where all rows see one vector, what it changes: instead of the form for the matrices that are made.
  let change: VectorChange?
  private let madeCount: Int

  init(table: MultiplierTable, form: FactoredForm, change: VectorChange? = nil) {
    self.table = table
    self.form = form
    self.change = change
    madeCount = change?.madeCount ?? 0
  }

  /// M of a matrix, where the pass takes it.
  func change(_ matrix: Int) -> StoredRows? {
    guard matrix < madeCount, let change else { return nil }
    return unsafe change.rows(matrix)
  }
}

/// What decides the form of a pass: the shapes of a model and how its weights are stored, never time.
struct FactoredForms: Sendable {
  // Of the factored matrices; others cost the same in every form.

  /// Σ m n, and Σ r².
  let values: Int
  let squares: Int
  /// Multiplications that make what one vector changes, see ``VectorChange``.
  let changeMultiplications: Int
  /// Of W, and of all Q, as they are stored.
  let weightBytes: Int
  let factorBytes: Int
  let widestFactorBytes: Int
  /// Of Q.
  let precision: FactorPrecision
  /// The form of every pass, whatever it costs.
  var only: FactoredForm?
  /// Whether every pass under one vector takes what it changes, made at once and whole, whatever that costs.
  var alwaysChanges = false

  /// Q and its products in memory at most: those of 1B would take 5.3 GB, of SmolLM2-135M 0.6.
  static let productLimit = 1_500_000_000
  /// Bytes that are read from memory while a multiplication is done, by all cores: 24 GB/s and 120 · 10⁹ multiplications.
  private static let bytesPerMultiplication = 0.2
  /// Of a cache from which a Q is read again that was read a moment before.
  private static let cacheBytes = 8 << 20

  init(_ factorization: Factorization, _ weights: ModelWeights) {
    let layout = factorization.layout
    self.init(
      layout, weightBytes: layout.factored.reduce(0) { $0 + weights.matrixBytes($1) },
      precision: factorization.precision)
  }

  init(_ layout: MultiplierLayout, weightBytes: Int, precision: FactorPrecision) {
    values = layout.factored.reduce(0) { $0 + layout.matrices[$1].rows * layout.matrices[$1].columns }
    squares = layout.matrices.reduce(0) { $0 + $1.rank * $1.rank }
    changeMultiplications = layout.matrices.reduce(0) { $0 + VectorChange.multiplications(rank: $1.rank) }
    self.weightBytes = weightBytes
    self.precision = precision
    factorBytes = precision.size * squares
    widestFactorBytes = layout.matrices.reduce(0) { max($0, precision.size * $1.rank * $1.rank) }
  }

  /// Of what the form of products multiplies by: Q, and A or B in floats.
  var productBytes: Int { factorBytes + float * values }

  /// Whether some pass goes in the form of products: one of many rows does where they fit. Not with Q in halves: what these
  /// round would weigh on all of W there, and not only as much as multipliers differ from 1.
  var mayHaveProducts: Bool { precision == .single && productBytes <= Self.productLimit }

  /// The form for a pass of so many factored rows.
  func form(rows: Int) -> FactoredForm {
    if let only { return only }
    guard mayHaveProducts else { return .weights }
    return FactoredForm.allCases.min { cost($0, rows: rows) < cost($1, rows: rows) } ?? .weights
  }

  /// What a pass costs, in bytes: those it reads, and those that it could have read while it multiplies.
  func cost(_ form: FactoredForm, rows: Int) -> Double {
    switch form {
    case .products:
      return Double(productBytes) + multiplying(rows * (values + squares))
    case .weights:
      let readings = widestFactorBytes <= Self.cacheBytes ? 1 : 2
      return Double(readingWeights(rows: rows) + readings * factorBytes)
        + multiplying(rows * (values + 2 * squares))
    }
  }

  /// What a pass under one vector costs with what that changes.
  func changeCost(rows: Int) -> Double {
    Double(readingWeights(rows: rows) + half * squares + (rows > fewRowsLimit ? float * squares : 0))
      + multiplying(rows * (values + squares))
  }

  /// Whether a pass under one vector takes what it changes.
  func takesChange(rows: Int) -> Bool {
    alwaysChanges || changeCost(rows: rows) < cost(form(rows: rows), rows: rows)
  }

  /// Whether making what a vector changes pays for an answer of so many tokens.
  func changePays(tokens: Int) -> Bool {
    guard half * squares <= KeptChanges.byteLimit else { return false }
    let saved = cost(form(rows: 1), rows: 1) - changeCost(rows: 1)
    return Double(tokens) * saved > multiplying(changeMultiplications)
  }

  /// Multiplications that take as long as a pass: as much as it may be held up by making what a vector changes.
  func multiplicationsOfPass(rows: Int) -> Int {
    Int(cost(form(rows: rows), rows: rows) / Self.bytesPerMultiplication)
  }

  /// W; where many rows are to be multiplied, it is widened first, unless it is stored as floats.
  private func readingWeights(rows: Int) -> Int {
    let isStored = weightBytes < float * values
    return weightBytes + (isStored && rows > fewRowsLimit ? float * values : 0)
  }

  private func multiplying(_ count: Int) -> Double { Self.bytesPerMultiplication * Double(count) }
}

private let float = MemoryLayout<Float>.stride
private let half = MemoryLayout<UInt16>.stride

extension LanguageModel {
  /// What the factored rows of a pass multiply by; nil where it has none. Blocks while the products of Q and W are made, for
  /// the first pass that takes their form.
  /// - Parameters:
  ///   - vectors: those that the batch's views are numbers of.
  ///   - change: of the one vector that all factored rows see.
  func factored(_ vectors: MultiplierTable?, _ batch: TokenBatch, change: VectorChange? = nil) -> FactoredRows? {
    guard let vectors else { return nil }
    var change = change
    if forms.alwaysChanges, let view = batch.views.last, view >= 0, batch.views.allSatisfy({ $0 < 0 || $0 == view }) {
      change = keptChanges.change(of: vectors.vectors[view], factorization)
      change?.make(multiplications: .max, pool: pool, priority: .interactive)
    }
    return factored(vectors, rows: batch.views.count { $0 >= 0 }, change: change)
  }

  func factored(_ vectors: MultiplierTable, rows: Int, change: VectorChange? = nil) -> FactoredRows {
    let form = forms.form(rows: rows)
    let taken = change.flatMap { forms.takesChange(rows: rows) ? $0 : nil }
    if form == .products, taken?.isComplete != true { makeProducts() }
    return FactoredRows(table: vectors, form: form, change: taken)
  }

  /// What a vector changes, kept or to be made; nil where there is no memory for it.
  func change(of vector: MultiplierVector) -> VectorChange? {
    guard keptChanges.has(vector) || room.has(half * forms.squares) else { return nil }
    return keptChanges.change(of: vector, factorization)
  }

  /// The products of Q and W, where they are not there yet.
  func makeProducts() {
    unsafe factorization.makeProducts(
      weights: { [weights] in unsafe weights.widened($0, $1) }, pool: pool, priority: .interactive)
  }
}
