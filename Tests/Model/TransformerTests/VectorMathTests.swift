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
