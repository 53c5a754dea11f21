/// Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101), downhill.
///
/// The decay pulls towards the base and not towards 0: it is where nothing was learned.
package struct AdamW: Sendable, Equatable {
  /// Running means of the gradient and of its square, as long as the parameters.
  package private(set) var first: [Float]
  package private(set) var second: [Float]
  /// Steps that were made.
  package private(set) var steps: Int
  package let decay: Double
  /// The parameter of the base: 1 of a multiplier.
  package let origin: Float

  private static let (beta1, beta2, epsilon) = (0.9, 0.999, 1e-8)

  package init(count: Int, decay: Double, origin: Float) {
    self.init(
      first: [Float](repeating: 0, count: count), second: [Float](repeating: 0, count: count), steps: 0, decay: decay,
      origin: origin)
  }

  init(first: [Float], second: [Float], steps: Int, decay: Double, origin: Float) {
    precondition(first.count == second.count, "\(first.count) and \(second.count) moments")
    self.first = first
    self.second = second
    self.steps = steps
    self.decay = decay
    self.origin = origin
  }

  /// One step of size `rate`. Each parameter is computed in double and rounded once, by itself: neither order nor
  /// threads change a bit. One whose gradient was never anything but 0, and which is the base's, stays exactly that.
  package mutating func update(_ parameters: inout [Float], gradient: [Float], rate: Double) {
    precondition(
      parameters.count == first.count && gradient.count == first.count,
      "\(parameters.count) parameters and \(gradient.count) derivatives for \(first.count) moments")
    steps += 1
    var (power1, power2) = (1.0, 1.0)
    for _ in 0..<steps {
      power1 *= Self.beta1
      power2 *= Self.beta2
    }
    for i in parameters.indices {
      let g = Double(gradient[i])
      first[i] = Float(Self.beta1 * Double(first[i]) + (1 - Self.beta1) * g)
      second[i] = Float(Self.beta2 * Double(second[i]) + (1 - Self.beta2) * g * g)
      let direction =
        Double(first[i]) / (1 - power1) / ((Double(second[i]) / (1 - power2)).squareRoot() + Self.epsilon)
      let p = Double(parameters[i])
      parameters[i] = Float(p - rate * (direction + decay * (p - Double(origin))))
    }
  }
}

/// The gradient's length, and the gradient cut to at most `limit` of it. A length that is no number stays visible: it is
/// the caller's to refuse.
package func clipped(_ gradient: [Float], to limit: Double) -> (gradient: [Float], norm: Double) {
  let norm = gradient.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
  guard norm > limit else { return (gradient, norm) }
  return (gradient.map { Float(Double($0) * (limit / norm)) }, norm)
}
