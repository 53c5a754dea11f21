import Glibc
import Multipliers
import Testing

@Suite struct MultiplierVectorTests {
  @Test func aMatrixThatTheExpertDoesNotNameHasOnes() {
    let vector = MultiplierVector(layout: layout, named: [(matrix: 1, multipliers: [0.5, 2])])
    #expect(vector.values == [1, 1, 1, 0.5, 2, 1, 1, 1, 1, 1])
    #expect(!vector.isIdentity)
    #expect(vector.isIdentity(in: layout.range(of: 0)))
    #expect(!vector.isIdentity(in: layout.range(of: 1)))
    #expect(MultiplierVector.ones(layout.count).isIdentity)
  }

  @Test func parametersOfEachSpaceBecomeMultipliers() {
    let parameters: [Float] = [0, 0.1, -0.1, 100, -100]
    #expect(multipliers(from: parameters, space: .multiplier, maximumMultiplier: 7) == parameters)
    let s = multipliers(from: parameters, space: .logit, maximumMultiplier: 2)
    // sigmoid(0) = 1/2, sigmoid(p) + sigmoid(-p) = 1, and the ends.
    #expect(s[0] == 1)
    #expect(abs(s[1] + s[2] - 2) < 1e-6)
    #expect(s[1] == Float(2 / (1 + exp(-Double(Float(0.1))))))
    #expect(s[3] == 2)
    #expect(s[4] >= 0 && s[4] < 1e-30)
  }
}
