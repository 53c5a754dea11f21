import ModelFormats
import Transformer

/// What a model's products with one row read of the memory.
struct WeightTraffic {
  /// Bytes of the target matrices and of the head, as the file stores them and the model holds them.
  let weights: Int
  /// Bytes of its matrices Q, which a vector's products read too.
  let factors: Int

  init(_ model: LanguageModel) throws {
    let file = try openModel(at: model.path)
    let head =
      model.configuration.tiedEmbeddings ? ModelConfiguration.embeddingName : ModelConfiguration.headName
    weights = try (model.layout.matrices.map(\.name) + [head]).reduce(0) { sum, name in
      guard let values = file.shape(of: name)?.reduce(1, *),
        let bytes = file.elementType(of: name)?.byteCount(of: values)
      else { throw BenchmarkError("the model has no '\(name)' of a type that is read") }
      return sum + bytes
    }
    factors = model.factorization.byteCount
  }
}
