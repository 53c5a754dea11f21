import Engines
import Glibc
import LinearAlgebra
import ModelFormats
import Multipliers

@testable import Transformer

/// The naive twin of `ForwardPass` (Sources/Model/Transformer), and so of the forward half of `RecordedPass`, that a
/// reader can check against the paper and a family's description: one sequence, double, no blocks, no tiles, W' formed
/// instead of factored.
struct NaiveDecoder {
  let model: LanguageModel
  private let configuration: ModelConfiguration
  /// By the layout's order, (outputs, inputs) each.
  private var matrices: [[Double]]

  init(_ model: LanguageModel) {
    self.model = model
    configuration = model.configuration
    matrices = model.layout.matrices.map { Self.values(model, $0.name) }
  }

  /// U diag(s σ) Vᵀ of every matrix, formed from Q alone: Q diag(s) Qᵀ W or W Q diag(s) Qᵀ.
  init(_ model: LanguageModel, under s: MultiplierVector) {
    self.init(model)
    for (index, target) in model.layout.matrices.enumerated() {
      let factored = model.factorization[index]
      let r = target.rank
      let first = model.layout.offsets[index]
      let scratch = Scratch()
      let q = withExtendedLifetime(scratch) { unsafe Self.doubles(factored.q(scratch, slot: 0), r * r) }
      var scaled = q
      var transposed = q
      for i in 0..<r {
        for k in 0..<r {
          scaled[i * r + k] *= Double(s.values[first + k])
          transposed[k * r + i] = q[i * r + k]
        }
      }
      let inner = Self.product(scaled, transposed, r, r, r)  // Q diag(s) Qᵀ
      let (m, n) = (target.rows, target.columns)
      matrices[index] =
        m <= n ? Self.product(inner, matrices[index], m, m, n) : Self.product(matrices[index], inner, m, n, n)
    }
  }

  private static func doubles(_ x: UnsafePointer<Float>, _ count: Int) -> [Double] {
    unsafe UnsafeBufferPointer(start: x, count: count).map { Double($0) }
  }

  /// (m, k) x (k, n)
  private static func product(_ a: [Double], _ b: [Double], _ m: Int, _ k: Int, _ n: Int) -> [Double] {
    var c = [Double](repeating: 0, count: m * n)
    unsafe c.withUnsafeMutableBufferPointer { c in
      unsafe a.withUnsafeBufferPointer { a in
        unsafe b.withUnsafeBufferPointer { b in
          for i in 0..<m {
            for l in 0..<k {
              let x = unsafe a[i * k + l]
              var j = 0
              while j < n {
                unsafe c[i * n + j] += x * b[l * n + j]
                j += 1
              }
            }
          }
        }
      }
    }
    return c
  }

  // MARK: - Pieces of a layer

  /// W x + b of a projection, fused ones cut into what they are made of.
  private func apply(_ layer: Int, _ projection: Projection, _ x: [Double]) -> [Double] {
    let (heads, keys) = (configuration.heads * configuration.headDim, configuration.kvHeads * configuration.headDim)
    switch projection {
    case _ where configuration.projections.contains(projection): return applyWhole(layer, projection, x)
    case .query: return Array(applyWhole(layer, .queryKeyValue, x)[..<heads])
    case .key: return Array(applyWhole(layer, .queryKeyValue, x)[heads..<heads + keys])
    case .value: return Array(applyWhole(layer, .queryKeyValue, x)[(heads + keys)...])
    case .gate: return Array(applyWhole(layer, .gateUp, x)[..<configuration.intermediate])
    case .up: return Array(applyWhole(layer, .gateUp, x)[configuration.intermediate...])
    case .output, .down, .queryKeyValue, .gateUp: preconditionFailure("the model has no \(projection)")
    }
  }

  private func applyWhole(_ layer: Int, _ projection: Projection, _ x: [Double]) -> [Double] {
    let number = configuration.projections.firstIndex(of: projection) ?? 0
    var y = product(x, matrices[layer * configuration.projections.count + number])
    if configuration.biases.contains(projection) {
      let name = "model.layers.\(layer)." + projection.biasName
      for (i, b) in tensor(name, y.count).enumerated() { y[i] += b }
    }
    return y
  }

  private func tensor(_ name: String, _ count: Int) -> [Double] {
    let values = Self.values(model, name)
    precondition(values.count == count, "'\(name)' has \(values.count) values, not \(count)")
    return values
  }

  private static func values(_ model: LanguageModel, _ name: String) -> [Double] {
    guard let values = model.weights.values(name) else { preconditionFailure("no tensor '\(name)'") }
    return values.map { Double($0) }
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

  private func norm(_ x: [Double], _ name: String) -> [Double] {
    let mean = x.reduce(0) { $0 + $1 * $1 } / Double(x.count)
    let scale = 1 / (mean + Double(configuration.rmsEpsilon)).squareRoot()
    return zip(x, tensor(name, x.count)).map { $0 * scale * $1 }
  }

  private func norm(_ x: [Double], _ layer: Int, _ place: Int) -> [Double] {
    norm(x, "model.layers.\(layer)." + configuration.norms.tensorNames[place])
  }

  /// Norm and rotation of each head of queries, or of keys.
  private func placed(_ x: [Double], _ layer: Int, _ headNorm: Int, position: Int) -> [Double] {
    let size = configuration.headDim
    return stride(from: 0, to: x.count, by: size).flatMap { start -> [Double] in
      var head = Array(x[start..<start + size])
      if configuration.hasHeadNorms {
        head = norm(head, "model.layers.\(layer)." + ModelConfiguration.headNormNames[headNorm])
      }
      guard let number = configuration.attention[layer].rotation else { return head }
      var out = head
      for (j, f) in Self.frequencies(configuration.rotations[number], size).enumerated() {
        let (c, s) = (cos(Double(position) * f), sin(Double(position) * f))
        out[j] = head[j] * c - head[j + size / 2] * s
        out[j + size / 2] = head[j + size / 2] * c + head[j] * s
      }
      return out
    }
  }

  static func frequencies(_ rotation: Rotation, _ size: Int) -> [Double] {
    (0..<size / 2).map { j in
      let f = pow(rotation.theta, -2 * Double(j) / Double(size))
      switch rotation.scaling {
      case .none: return f
      case .linear(let factor): return f / factor
      case .divided(let divisors): return f / Double(divisors[j])
      case .llama3(let factor, let low, let high, let context):
        let turns = Double(context) * f / (2 * Double.pi)  // within the original context
        if turns < low { return f / factor }
        if turns > high { return f }
        let share = (turns - low) / (high - low)
        return (1 - share) * f / factor + share * f
      }
    }
  }

  private func activation(_ x: Double) -> Double {
    switch configuration.activation {
    case .silu: x / (1 + exp(-x))
    case .tanhGELU: 0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
    }
  }

  // MARK: - The whole

  /// x += norm(y), or x += y where the model has no norms behind.
  private func add(_ y: [Double], _ layer: Int, normedBy place: Int, to x: inout [Double]) {
    let y = configuration.norms == .around ? norm(y, layer, place) : y
    for i in x.indices { x[i] += y[i] }
  }

  /// Logits after every token, (tokens, vocabulary).
  func logits(_ ids: [Int32]) -> [[Float]] {
    let (hidden, size) = (configuration.hidden, configuration.headDim)
    let embedding = tensor("model.embed_tokens.weight", configuration.vocabulary * hidden)
    let head =
      configuration.tiedEmbeddings ? embedding : tensor("lm_head.weight", configuration.vocabulary * hidden)
    var x = ids.map { id in
      embedding[Int(id) * hidden..<(Int(id) + 1) * hidden].map { $0 * Double(configuration.embeddingScale) }
    }
    for layer in 0..<configuration.layers {
      let normed = x.map { norm($0, layer, 0) }
      let queries = normed.enumerated().map { placed(apply(layer, .query, $1), layer, 0, position: $0) }
      let keys = normed.enumerated().map { placed(apply(layer, .key, $1), layer, 1, position: $0) }
      let values = normed.map { apply(layer, .value, $0) }
      for row in x.indices {
        let first = configuration.attention[layer].window.map { max(0, row - $0 + 1) } ?? 0
        var attended = [Double](repeating: 0, count: configuration.heads * size)
        for head in 0..<configuration.heads {
          let shared = head / (configuration.heads / configuration.kvHeads)
          // Loops of `while`: a debug build spends its time here.
          var weights: [Double] = []
          for past in first...row {
            var sum = 0.0
            var i = 0
            while i < size {
              sum += queries[row][head * size + i] * keys[past][shared * size + i]
              i += 1
            }
            weights.append(sum * Double(configuration.attentionScale))
          }
          let largest = weights.max() ?? 0
          weights = weights.map { exp($0 - largest) }
          let total = weights.reduce(0, +)
          for past in first...row {
            let weight = weights[past - first] / total
            var i = 0
            while i < size {
              attended[head * size + i] += weight * values[past][shared * size + i]
              i += 1
            }
          }
        }
        add(apply(layer, .output, attended), layer, normedBy: 1, to: &x[row])
      }
      for row in x.indices {
        let normed = norm(x[row], layer, configuration.norms == .around ? 2 : 1)
        let (gate, up) = (apply(layer, .gate, normed), apply(layer, .up, normed))
        let inner = zip(gate, up).map { activation($0) * $1 }
        add(apply(layer, .down, inner), layer, normedBy: 3, to: &x[row])
      }
    }
    return x.map { row in
      product(norm(row, "model.norm.weight"), head).map { z in
        guard let cap = configuration.logitCap.map({ Double($0) }) else { return Float(z) }
        return Float(cap * tanh(z / cap))
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
func tangent(_ x: Double) -> Double { tanh(x) }

func logSumExp(_ logits: [Float]) -> Float {
  let largest = Double(logits.max() ?? 0)
  return Float(largest + log(logits.reduce(0.0) { $0 + exp(Double($1) - largest) }))
}

/// libm's, rounded once.
func correctExponential(_ x: Float) -> Float { Float(exp(Double(x))) }
