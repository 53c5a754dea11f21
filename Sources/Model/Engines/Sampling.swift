/// How the next token is chosen.
package enum Sampling: Sendable, Equatable {
  /// The largest logit; of equal ones the lowest id.
  case greedy
  /// From the smallest set of most likely tokens whose probabilities at this temperature sum to `topP`. The choice at a
  /// step is a function of (logits, seed, stream, step) alone: requests with one seed take streams of their own.
  case sampled(temperature: Float, topP: Float, seed: UInt64, stream: UInt64)

  package func check() throws(EngineError) {
    guard case .sampled(let temperature, let topP, _, _) = self else { return }
    guard temperature.isFinite, temperature > 0 else {
      throw .invalidSampling("the temperature is \(temperature), it must be above 0; greedy decoding has none")
    }
    guard topP > 0, topP <= 1 else { throw .invalidSampling("top-p is \(topP), it must be above 0 and at most 1") }
  }
}
