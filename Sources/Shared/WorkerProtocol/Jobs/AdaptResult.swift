package import Records
package import Results

/// What an adaptation found, and where its file is.
package struct AdaptResult: WorkerResult {
  @Flattened package var mixture: Mixture
  /// The effective multipliers of what is served, a safetensors file that is itself a valid expert.
  package var vectorsPath: String
  /// Of the bytes that were written there.
  package var vectorsDigest: String?

  package init(mixture: Mixture, vectorsPath: String, vectorsDigest: String? = nil) {
    self.mixture = mixture
    self.vectorsPath = vectorsPath
    self.vectorsDigest = vectorsDigest
  }
}
