import Glibc
import Multipliers
@testable import Transformer

/// The naive twin of `ForwardPass` (Sources/Model/Transformer), and so of the forward half of `RecordedPass`, that a
/// reader can check against the paper: one sequence, double, no blocks, no tiles, W' formed instead of factored.
struct NaiveLlama {
  let model: LanguageModel
  /// By the layout's order, (outputs, inputs) each.
  private var weights: [[Double]]

  init(_ model: LanguageModel) {
    self.model = model
    weights = model.layout.matrices.indices.map { index in
      let (layer, projection) = index.quotientAndRemainder(dividingBy: Projection.allCases.count)
      let base = unsafe model.weights.matrix(layer, Projection.allCases[projection])
      return (0..<model.layout.matrices[index].rows * model.layout.matrices[index].columns)
        .map { unsafe Double(base[$0]) }
    }
  }

  /// U diag(s σ) Vᵀ of every matrix, formed from Q alone: Q diag(s) Qᵀ W or W Q diag(s) Qᵀ.
  init(_ model: LanguageModel, under s: MultiplierVector) {
    self.init(model)
    for (index, target) in model.layout.matrices.enumerated() {
      let factored = model.factorization[index]
      let r = target.rank
      let first = model.layout.offsets[index]
      var inner = [Double](repeating: 0, count: r * r)  // Q diag(s) Qᵀ
      for i in 0..<r {
        for j in 0..<r {
          for k in 0..<r {
            let (a, b) = unsafe (factored.q[i * r + k], factored.q[j * r + k])
            inner[i * r + j] += Double(a) * Double(s.values[first + k]) * Double(b)
          }
        }
      }
      let (m, n) = (target.rows, target.columns)
      weights[index] =
        m <= n ? Self.product(inner, weights[index], m, m, n) : Self.product(weights[index], inner, m, n, n)
    }
  }

  /// (m, k) x (k, n)
  private static func product(_ a: [Double], _ b: [Double], _ m: Int, _ k: Int, _ n: Int) -> [Double] {
    var c = [Double](repeating: 0, count: m * n)
    for i in 0..<m { for l in 0..<k { for j in 0..<n { c[i * n + j] += a[i * k + l] * b[l * n + j] } } }
    return c
  }

  private func apply(_ layer: Int, _ projection: Projection, _ x: [Double]) -> [Double] {
    let w = weights[layer * Projection.allCases.count + projection.rawValue]
    return product(x, w)
  }

  /// W x
  private func product(_ x: [Double], _ w: [Double]) -> [Double] {
    var out: [Double] = []
    out.reserveCapacity(w.count / x.count)
    unsafe w.withUnsafeBufferPointer { w in
      var place = 0
      while place < w.count {
        var sum = 0.0
        var i = 0
        while i < x.count {
          sum += unsafe w[place] * x[i]
          i += 1
          place += 1
        }
        out.append(sum)
      }
    }
    return out
  }

  private func norm(_ x: [Double], _ weight: UnsafePointer<Float>) -> [Double] {
    let mean = x.reduce(0) { $0 + $1 * $1 } / Double(x.count)
    let scale = 1 / (mean + Double(model.shape.epsilon)).squareRoot()
    return x.indices.map { unsafe Double(weight[$0]) * x[$0] * scale }
  }

  private func rotated(_ x: [Double], position: Int) -> [Double] {
    let size = model.shape.headDimension
    var out = x
    for head in 0..<x.count / size {
      for i in 0..<size / 2 {
        let (cosines, sines) = unsafe model.weights.rotary.angles(at: position)
        let (c, s) = unsafe (Double(cosines[i]), Double(sines[i]))
        let (a, b) = (x[head * size + i], x[head * size + i + size / 2])
        out[head * size + i] = a * c - b * s
        out[head * size + i + size / 2] = b * c + a * s
      }
    }
    return out
  }

  /// Logits after every token, (tokens, vocabulary).
  func logits(_ ids: [Int32]) -> [[Float]] {
    let shape = model.shape
    let size = shape.headDimension
    var x = ids.map { id in
      (0..<shape.hidden).map { unsafe Double(model.weights.embedding[Int(id) * shape.hidden + $0]) }
    }
    for layer in 0..<shape.layers {
      let normed = x.map { unsafe norm($0, model.weights.inputNorm(layer)) }
      let queries = normed.enumerated().map { rotated(apply(layer, .query, $1), position: $0) }
      let keys = normed.enumerated().map { rotated(apply(layer, .key, $1), position: $0) }
      let values = normed.map { apply(layer, .value, $0) }
      for row in x.indices {
        var attended = [Double](repeating: 0, count: shape.queryWidth)
        for head in 0..<shape.heads {
          let shared = head / (shape.heads / shape.keyValueHeads)
          let scores = (0...row).map { past in
            (0..<size).reduce(0.0) { $0 + queries[row][head * size + $1] * keys[past][shared * size + $1] }
              / Double(size).squareRoot()
          }
          let weights = scores.map { exponential($0 - (scores.max() ?? 0)) }
          let total = weights.reduce(0, +)
          for past in 0...row {
            for i in 0..<size {
              attended[head * size + i] += weights[past] / total * values[past][shared * size + i]
            }
          }
        }
        for (i, value) in apply(layer, .output, attended).enumerated() { x[row][i] += value }
      }
      for row in x.indices {
        let normed = unsafe norm(x[row], model.weights.postNorm(layer))
        let gate = apply(layer, .gate, normed)
        let up = apply(layer, .up, normed)
        let inner = gate.indices.map { gate[$0] / (1 + exponential(-gate[$0])) * up[$0] }
        for (i, value) in apply(layer, .down, inner).enumerated() { x[row][i] += value }
      }
    }
    return x.map { row in
      let normed = unsafe norm(row, model.weights.finalNorm)
      return (0..<shape.vocabulary).map { id in
        Float(
          (0..<shape.hidden).reduce(0.0) { unsafe $0 + Double(model.weights.head[id * shape.hidden + $1]) * normed[$1] }
        )
      }
    }
  }

  /// What the engine's `score` must give.
  func score(_ items: [ScoringItem]) -> [[ContinuationScore]] {
    items.map { item in
      item.continuations.map { continuation in
        let logits = logits(item.prompt + continuation.dropLast())
        return ContinuationScore(
          logprobs: continuation.enumerated().map { index, id in
            let row = logits[item.prompt.count - 1 + index]
            return row[Int(id)] - logSumExp(row)
          })
      }
    }
  }
}

func exponential(_ x: Double) -> Double { exp(x) }

func logSumExp(_ logits: [Float]) -> Float {
  let largest = Double(logits.max() ?? 0)
  return Float(largest + log(logits.reduce(0.0) { $0 + exp(Double($1) - largest) }))
}

/// libm's, rounded once.
func correctExponential(_ x: Float) -> Float { Float(exp(Double(x))) }
