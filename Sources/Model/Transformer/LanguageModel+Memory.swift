extension LanguageModel {
  /// Bytes that the worker holds at a gradient's height, by what the recorded pass allocates: the weights, the mapped
  /// factorization, the stream before every layer, the records and logits that are kept, and what a pass works in.
  /// - Parameter rows: of one tape, of which every one may need logits.
  package func gradientBytes(rows: Int) -> Int {
    let float = MemoryLayout<Float>.stride
    let pass = min(rows, Self.batchRows)
    let hasProducts = forms.form(rows: pass) == .products
    let products = hasProducts ? forms.values : 0
    let streams = shape.layers * rows * shape.hidden
    let perLayer = LayerRecord.byteCount(shape: shape, rows: rows, rest: rows)
    let kept = min(GradientTape.standardMemory, shape.layers * perLayer + rows * shape.vocabulary * float)
    // See RecordSpace and BackwardState.
    let width =
      4 * shape.hidden + (hasProducts ? 1 : 2) * shape.widestFactors + 3 * shape.intermediate + 2 * shape.queryWidth
    let space = pass * (width + shape.headUnits * shape.headDimension)
    return weightBytes + forms.factorBytes + kept + LayerRecord.byteCount(shape: shape, rows: pass, rest: pass)
      + (products + streams + space + 2 * layout.count) * float + RecordedHead.groupBytes
  }

  /// Bytes of the keys and values of sequences of that length that are decoded together.
  package func decodingBytes(positions: Int, sequences: Int) -> Int {
    let block = KeyValueCache.blockPositions
    let perBlock = shape.layers * 2 * shape.keyValueHeads * shape.headDimension * block * MemoryLayout<Float>.stride
    return min(sequences, DecodingBatch.decodingLimit) * ((positions + block - 1) / block) * perBlock
  }
}
