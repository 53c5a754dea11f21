extension LanguageModel {
  /// Bytes that the worker holds at a gradient's height: the model with its factors and their products, and what the
  /// recorded pass allocates.
  /// - Parameters:
  ///   - rows: of one tape, of which every one may need logits.
  ///   - longest: of its longest item.
  package func gradientBytes(rows: Int, longest: Int) -> Int {
    memory.held + shape.gradientBytes(rows: rows, longest: longest, memory: GradientTape.standardMemory)
  }

  /// Bytes of the keys and values of sequences of that length that are decoded together.
  package func decodingBytes(positions: Int, sequences: Int) -> Int {
    shape.decodingBytes(positions: positions, sequences: min(sequences, DecodingBatch.decodingLimit))
  }
}
