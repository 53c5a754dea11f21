import Glibc

func exponential(_ x: Double) -> Double { exp(x) }

func logSumExp(_ logits: [Float]) -> Float {
  let largest = Double(logits.max() ?? 0)
  return Float(largest + log(logits.reduce(0.0) { $0 + exp(Double($1) - largest) }))
}

/// libm's, rounded once.
func correctExponential(_ x: Float) -> Float { Float(exp(Double(x))) }
