import Testing

@testable import Training

@Suite struct AdamWTests {
  /// What torch.optim.AdamW gives for the same numbers, up to the pull, which is towards 1 here.
  @Test func aStepIsThatOfTheFormula() {
    var optimizer = AdamW(count: 2, decay: 0.5, origin: 1)
    var parameters: [Float] = [1.5, 1]
    // Twin, in double and with the moments written out.
    var (m, v) = ([0.0, 0.0], [0.0, 0.0])
    var expected = [1.5, 1.0]
    for (step, gradient) in [[0.3, -2.0], [0.1, 4.0], [-0.7, 0.5]].enumerated() {
      optimizer.update(&parameters, gradient: gradient.map { Float($0) }, rate: 0.1)
      for i in 0..<2 {
        m[i] = 0.9 * m[i] + 0.1 * gradient[i]
        v[i] = 0.999 * v[i] + 0.001 * gradient[i] * gradient[i]
        var (b1, b2) = (1.0, 1.0)
        for _ in 0...step { (b1, b2) = (b1 * 0.9, b2 * 0.999) }
        expected[i] -= 0.1 * (m[i] / (1 - b1) / ((v[i] / (1 - b2)).squareRoot() + 1e-8) + 0.5 * (expected[i] - 1))
      }
      for i in 0..<2 { #expect(abs(Double(parameters[i]) - expected[i]) < 1e-6, "step \(step), parameter \(i)") }
    }
    #expect(optimizer.steps == 3)
  }

  @Test func whatHasNoGradientStaysExactlyTheBase() {
    var optimizer = AdamW(count: 2, decay: 0.1, origin: 1)
    var parameters: [Float] = [1, 1]
    for _ in 0..<50 { optimizer.update(&parameters, gradient: [0, 0.5], rate: 0.01) }
    #expect(parameters[0] == 1 && parameters[1] < 1)
  }

  @Test func theDecayPullsTowardsTheBaseWhateverItsNumber() {
    for origin in [Float(0), 1] {
      var optimizer = AdamW(count: 1, decay: 0.5, origin: origin)
      var parameters: [Float] = [0.25]
      for _ in 0..<400 { optimizer.update(&parameters, gradient: [0], rate: 0.1) }
      #expect(abs(parameters[0] - origin) < 1e-4, "\(parameters[0])")
    }
  }

  @Test func aLongGradientIsCutAndAShortOneIsNot() {
    let (cut, norm) = clipped([3, 4], to: 1)
    #expect(norm == 5 && abs(cut[0] - 0.6) < 1e-7 && abs(cut[1] - 0.8) < 1e-7)
    #expect(clipped([0.3, 0.4], to: 1).gradient == [0.3, 0.4])
    #expect(clipped([.nan, 1], to: 1).norm.isNaN)
  }
}

@Suite struct RowOrderTests {
  @Test func whatIsHeldOutIsNeverTrainedOnAndEveryOtherRowOnceAnEpoch() throws {
    let order = try RowOrder(count: 47, validation: 10, seed: 3)
    #expect(order.validation.count == 10 && Set(order.validation + order.training).count == 47)
    // Epochs of 37 rows in batches of 5: a batch may straddle two.
    let drawn = (0..<37).flatMap { order.batch(5, step: $0) }
    for epoch in 0..<5 { #expect(Set(drawn[epoch * 37..<(epoch + 1) * 37]) == Set(order.training), "epoch \(epoch)") }
    #expect(drawn[..<37] != drawn[37..<74])
    #expect(try RowOrder(count: 47, validation: 10, seed: 3).batch(5, step: 9) == order.batch(5, step: 9))
    #expect(try RowOrder(count: 47, validation: 10, seed: 4).batch(5, step: 9) != order.batch(5, step: 9))
  }

  @Test func aQuarterIsHeldOutAtMost() throws {
    #expect(try RowOrder(count: 20, validation: 60, seed: 1).validation.count == 5)
    #expect(throws: TrainingError.tooFewRows(7)) { try RowOrder(count: 7, validation: 1, seed: 1) }
  }
}
