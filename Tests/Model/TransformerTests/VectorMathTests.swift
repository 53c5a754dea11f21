import ModelFormats
import Testing

@testable import Transformer

@Suite struct VectorMathTests {
  @Test func exponentialAgreesWithLibm() {
    var worst: Float = 0
    for step in -87_000...87_000 {
      let x = Float(step) / 1000 + 0.000_37
      let expected = correctExponential(x)
      worst = max(worst, abs(Transformer.exponential(x) - expected) / expected)
    }
    #expect(worst < 1e-6)
    #expect(Transformer.exponential(Float(0)) == 1)
  }

  @Test func exponentialOutsideItsRangeStaysFinite() {
    for low in [-Float.infinity, -1e30] { #expect((0..<1e-37).contains(Transformer.exponential(low)), "\(low)") }
    #expect(Transformer.exponential(Float(1e30)).isFinite)
  }

  /// 1 to 20 floats: whole vectors of eight, a rest, and both.
  @Test(arguments: 1...20) func softmaxSumsToOne(count: Int) {
    let x = (0..<count).map { Float($0 * $0 % 7) - 3 }
    var result = x
    unsafe softmax(&result, count: count, scale: 0.5)
    let weights = x.map { exponential(Double($0) * 0.5) }
    let total = weights.reduce(0, +)
    #expect(distance(result, weights.map { Float($0 / total) }) < 1e-6)
    #expect(abs(result.reduce(0, +) - 1) < 1e-6)
  }

  @Test(arguments: [1, 7, 8, 9, 48]) func normAndActivationAgreeWithTheirDefinitions(count: Int) {
    let x = (0..<count).map { Float($0 % 5) - 1.7 }
    let weight = (0..<count).map { 1 + Float($0) / 10 }
    var normed = x
    var gated = x
    // In place, as the forward pass does.
    unsafe normed.withUnsafeMutableBufferPointer { out in
      unsafe rmsNorm(out.baseAddress!, out.baseAddress!, weight: weight, count: count, epsilon: 1e-5)
    }
    unsafe Activation.silu.gated(&gated, gate: x, up: weight, count: count)
    let mean = x.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(count)
    let scale = 1 / (mean + 1e-5).squareRoot()
    #expect(distance(normed, x.indices.map { Float(Double(weight[$0]) * Double(x[$0]) * scale) }) < 1e-5)
    #expect(
      distance(
        gated, x.indices.map { Float(Double(x[$0]) / (1 + exponential(-Double(x[$0]))) * Double(weight[$0])) }) < 1e-5)
  }

  /// Against double, value and derivative: near 0, in the bend, and where tanh is 1.
  @Test func geluAndTheCapAgreeWithTheirDefinitions() {
    let x = (-1200...1200).map { Float($0) / 100 + 0.003_7 }
    let (ones, threes) = ([Float](repeating: 1, count: x.count), [Float](repeating: 3, count: x.count))
    func gelu(_ x: Double) -> Double { 0.5 * x * (1 + tangent(0.797_884_560_802_865_4 * (x + 0.044715 * x * x * x))) }
    func cap(_ x: Double) -> Double { 2.5 * tangent(x / 2.5) / 0.7 }
    func slope(_ f: (Double) -> Double, _ x: Float) -> Double { (f(Double(x) + 1e-5) - f(Double(x) - 1e-5)) / 2e-5 }
    func near(_ found: Float, _ expected: Double, _ tolerance: Double = 1e-6) -> Bool {
      abs(Double(found) - expected) <= tolerance * max(abs(expected), 0.01)
    }
    var (value, dGate, dUp) = (x, x, x)
    unsafe Activation.tanhGELU.gated(&value, gate: x, up: ones, count: x.count)
    unsafe Activation.tanhGELU.gatedGradient(
      dy: threes, dGate: &dGate, dUp: &dUp, gate: x, up: threes, count: x.count)
    let form = LogitForm(cap: 2.5, temperature: 0.7)
    var capped = x
    unsafe form.apply(&capped, rows: 1, columns: x.count, stride: x.count)
    var dLogit = ones
    unsafe form.applyGradient(&dLogit, y: capped, count: x.count)
    for i in x.indices {
      #expect(near(value[i], gelu(Double(x[i]))), "gelu of \(x[i])")
      #expect(near(dUp[i], 3 * gelu(Double(x[i]))), "gelu of \(x[i])")
      #expect(near(dGate[i], 9 * slope(gelu, x[i]), 1e-4), "the slope of gelu at \(x[i])")
      #expect(near(capped[i], cap(Double(x[i]))), "the cap of \(x[i])")
      #expect(near(dLogit[i], slope(cap, x[i]), 1e-4), "the slope of the cap at \(x[i])")
    }
    // Without a cap the product of the head is left alone.
    var plain = x
    unsafe LogitForm(cap: nil, temperature: 0.7).apply(&plain, rows: 1, columns: x.count, stride: x.count)
    #expect(plain == x)
  }

  @Test func aNaNOrAnInfinityIsFoundWhereverItIs() {
    for place in 0..<19 {
      for bad in [Float.nan, .infinity, -.infinity] {
        var x = [Float](repeating: 3, count: 19)
        unsafe #expect(x.withUnsafeBufferPointer { unsafe allFinite($0.baseAddress!, count: 19) })
        x[place] = bad
        unsafe #expect(!x.withUnsafeBufferPointer { unsafe allFinite($0.baseAddress!, count: 19) })
      }
    }
  }
}
