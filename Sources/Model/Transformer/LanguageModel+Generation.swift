package import Engines
package import LinearAlgebra

extension LanguageModel {
  /// Continues all prompts together, each under its own weights: see ``DecodingBatch``. What is computed together
  /// depends on the requests alone.
  ///
  /// Sampled tokens depend on the logits, and those in their last bits on what is decoded together.
  /// - Parameter onToken: called on the calling thread for every token, in order of steps; false ends that request.
  package func generate(
    _ requests: [GenerationRequest], priority: ComputePool.Priority,
    onToken: (GeneratedToken) -> Bool = { _ in true }
  ) throws(EngineError) -> [Generation] {
    try DecodingBatch(self, priority: priority, prefillRows: Self.batchRows).finish(requests, onToken: onToken)
  }

  /// What continues prompts for those who wait for each token.
  package func decoding() -> any Decoding {
    DecodingBatch(self, priority: .interactive, prefillRows: shortPassRows)
  }

  /// Rows that a pass may have where others wait for its end: about 200 ms on two cores that prefill SmolLM2-135M at 340
  /// tokens a second in the factored form, so that with a step of decoding it stays below 250 ms.
  package var shortPassRows: Int {
    let perRow = 2 * shape.layers * shape.layerSize
    return min(Self.batchRows, max(8, 15_000_000_000 / max(1, perRow) / 8 * 8))
  }
}
