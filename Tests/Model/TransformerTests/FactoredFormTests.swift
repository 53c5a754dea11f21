import Engines
import LinearAlgebra
import ModelFormats
import Multipliers
import Testing

@testable import SVF
@testable import Transformer

/// The forms in which factored rows are multiplied: which is taken, and that they agree.
@Suite struct FactoredFormTests {
  private let shapes: [AnyShape] = [.plain, .oneKeyHead, .fused, .narrowMLP, .everything]

  private func items(_ numbers: inout Numbers, _ count: Int, prompt: Int = 7) -> [ScoringItem] {
    (0..<count).map { _ in
      ScoringItem(prompt: numbers.tokens(prompt), continuations: [numbers.tokens(3), numbers.tokens(2)])
    }
  }

  /// Of queries on the right side and keys and values on the left, a stage may have all.
  @Test func theModelsOfTheseTestsHaveStagesOfEitherSideAndOfBoth() throws {
    let found = try Set(
      shapes.flatMap { shape in
        let model = try shape.load()
        return model.shape.stages.map { stage in
          Set(stage.matrices.map { $0.outputs.count <= stage.inputs })
        }
      })
    #expect(found == [[true], [false], [true, false]])
  }

  /// Few rows and many, of several vectors and of the base, in one batch.
  @Test(arguments: [AnyShape.plain, .oneKeyHead, .fused, .narrowMLP, .everything], [1, 3])
  func formsAgreeWithTheTwinAndWithEachOther(shape: AnyShape, count: Int) throws {
    let model = try shape.load()
    var numbers = Numbers(31)
    let items = items(&numbers, count)
    let vectors = (0..<2).map { _ in numbers.vector(model.layout.count) }
    let views = [WeightView.base] + vectors.map { .factored($0) }
    let all = views.flatMap { view in items.map { _ in view } }
    let found = try FactoredForm.allCases.map {
      try model.always($0).score(views.flatMap { _ in items }, under: all, priority: .job)
    }
    let twins = [NaiveDecoder(model)] + vectors.map { NaiveDecoder(model, under: $0) }
    let expected = twins.flatMap { $0.score(items) }
    for (form, found) in zip(FactoredForm.allCases, found) {
      #expect(distance(found, expected) < 1e-4, "\(form)")
    }
    #expect(distance(found[0], found[1]) < 5e-5)
  }

  /// A single token attends to itself whatever its query and key are, so a vector that changes only those must leave its
  /// scores alone: all other matrices are multiplied by ones. Few rows and many; alone and beside another vector.
  @Test(
    .inEveryForm, arguments: [AnyShape.plain, .oneKeyHead, .biases, .headNorms, .normsAround, .narrowMLP], [1, 3, 90])
  func aMatrixWhoseMultipliersAreOnesIsTheBaseBitForBit(shape: AnyShape, count: Int) throws {
    let model = try shape.load()
    var numbers = Numbers(32)
    let items = (0..<count).map { _ in
      ScoringItem(prompt: numbers.tokens(1), continuations: [numbers.tokens(1), numbers.tokens(1)])
    }
    let other = WeightView.factored(numbers.vector(model.layout.count))
    func vector(_ projections: [Projection]) -> WeightView {
      var vector = MultiplierVector.ones(model.layout.count)
      for index in matrices(model, projections) {
        for i in model.layout.range(of: index) { vector.values[i] = numbers.float(0.5, 1.5) }
      }
      return .factored(vector)
    }
    let base = try model.score(items, priority: .job)
    #expect(try model.score(items, under: vector([.query, .key]), priority: .job) == base)
    #expect(try model.score(items, under: vector([.query, .key, .value]), priority: .job) != base)
    if count < 4 {
      let views = [vector([.query, .key]), other].flatMap { view in items.map { _ in view } }
      let found = try model.score(items + items, under: views, priority: .job)
      #expect(Array(found[..<count]) == base)
      #expect(Array(found[count...]) != base)
    }
  }

  @Test func theCheaperFormIsTaken() {
    // SmolLM2-135M as floats, and in blocks of 32 values in 20 bytes.
    let small = layout(layers: 30, hidden: 576, keys: 192, intermediate: 1536)
    let values = small.matrices.reduce(0) { $0 + $1.rows * $1.columns }
    let floats = FactoredForms(small, weightBytes: 4 * values, precision: .single)
    let blocks = FactoredForms(small, weightBytes: values / 32 * 20, precision: .single)
    // Llama 3.2 1B and 8B.
    let medium = layout(layers: 16, hidden: 2048, keys: 512, intermediate: 8192)
    let large = layout(layers: 32, hidden: 4096, keys: 1024, intermediate: 14336)
    let (mediumForms, largeForms) = (
      FactoredForms(medium, weightBytes: 1, precision: .single),
      FactoredForms(large, weightBytes: 1, precision: .half)
    )
    let table: [(FactoredForms, rows: Int, FactoredForm)] =
      [1, 8, 512].map { (floats, $0, .products) }
      + [(blocks, 1, .weights), (blocks, 8, .weights), (blocks, 64, .products), (blocks, 512, .products)]
      + [1, 512].map { (mediumForms, $0, .weights) }
      + [1, 512].map { (largeForms, $0, .weights) }
    for (forms, rows, expected) in table { #expect(forms.form(rows: rows) == expected, "\(rows) rows") }
    // What one vector changes pays for answers of some length, for few rows, and where memory holds it.
    for (forms, tokens, expected) in [
      (floats, 16, false), (floats, 256, true), (blocks, 8, false), (blocks, 64, true),
      (mediumForms, 16, false), (mediumForms, 512, true),
      (largeForms, 100_000, false),
    ] {
      #expect(forms.changePays(tokens: tokens) == expected, "\(tokens) tokens")
    }
    #expect(floats.takesChange(rows: 1) && blocks.takesChange(rows: 4) && !blocks.takesChange(rows: 512))
    var forced = floats
    forced.only = .weights
    #expect(forced.form(rows: 512) == .weights)
    #expect(floats.productBytes == 4 * (values + small.matrices.reduce(0) { $0 + $1.rank * $1.rank }))
  }

  private func layout(layers: Int, hidden: Int, keys: Int, intermediate: Int) -> MultiplierLayout {
    let shapes = [
      (hidden, hidden), (keys, hidden), (keys, hidden), (hidden, hidden), (intermediate, hidden),
      (intermediate, hidden), (hidden, intermediate),
    ]
    return MultiplierLayout(
      (0..<layers).flatMap { layer in
        shapes.enumerated().map {
          TargetMatrix(name: "\(layer).\($0)", rows: $1.0, columns: $1.1, layer: layer)
        }
      })
  }

  @Test func productsAreMadeByTheFirstPassThatTakesThem() throws {
    let model = try RandomModel.load(AnyShape.plain.configuration)
    var numbers = Numbers(33)
    let vector = numbers.vector(model.layout.count)
    let prompt = numbers.tokens(9)
    let matrix = model.layout.matrices.count - 1
    func isMade() -> Bool { model.factorization.products.byteCount > 0 }
    _ = try model.logits(prompt: prompt)
    _ = try model.always(.weights).logits(prompt: prompt, under: .factored(vector))
    _ = try model.always(.weights).record(
      [ScoringItem(prompt: prompt, continuations: [[1, 2]])], under: vector, priority: .job)
    #expect(!isMade())
    _ = try model.always(.products).logits(prompt: prompt, under: .factored(vector))
    #expect(isMade())
    #expect(unsafe model.factorization[matrix].product[0].isFinite)
  }

  /// Cut anywhere, products are those of the whole, for few rows and for many.
  @Test(arguments: [0, 5], [1, 4, 30]) func partsOfAProductGiveTheWhole(number: Int, rows: Int) throws {
    let model = try AnyShape.plain.load()
    model.makeProducts()
    let f = model.factorization[number]
    let (m, n, r) = (f.target.rows, f.target.columns, f.rank)
    var numbers = Numbers(34)
    let x = FloatBuffer(count: rows * (max(m, n) + 3))
    for i in 0..<x.count { unsafe x.pointer[i] = numbers.float(-1, 1) }
    let scratch = Scratch()
    func check(
      _ count: Int, _ body: (Range<Int>, UnsafePointer<Float>, UnsafeMutablePointer<Float>, _ stride: Int) -> Void
    ) {
      let (whole, parts) = (FloatBuffer(count: rows * (count + 2)), FloatBuffer(count: rows * (count + 2)))
      unsafe body(0..<count, x.pointer, whole.pointer, count + 2)
      for part in [0..<3, 3..<4, 4..<count] {
        unsafe body(part, x.pointer, parts.pointer + part.lowerBound, count + 2)
      }
      let (found, expected) = unsafe (Array(parts.buffer), Array(whole.buffer))
      #expect(distance(found, expected) < 1e-5)
      #expect(expected.contains { $0 != 0 })
    }
    unsafe check(r) { part, x, y, stride in
      unsafe f.project(part, rows: rows, x: x, xStride: r + 3, to: y, yStride: stride, scratch)
    }
    unsafe check(r) { part, x, y, stride in
      unsafe f.expand(part, rows: rows, t: x, tStride: r + 3, to: y, yStride: stride, accumulate: true, scratch)
    }
    unsafe check(m) { part, x, y, stride in
      unsafe f.multiplyProduct(part, rows: rows, x: x, xStride: n + 3, to: y, yStride: stride)
    }
    unsafe check(n) { part, x, y, stride in
      unsafe f.multiplyProductBack(part, rows: rows, x: x, xStride: m + 3, to: y, yStride: stride)
    }
  }
}
