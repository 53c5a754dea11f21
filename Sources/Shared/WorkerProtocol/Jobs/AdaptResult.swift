package import Records
package import Results

/// What an adaptation found, and where its file is.
package struct AdaptResult: WorkerResult {
  @Flattened package var mixture: Mixture
  /// The effective multipliers of what is served, a safetensors file that is itself a valid expert.
  package var vectorsPath: String

  package init(mixture: Mixture, vectorsPath: String) {
    self.mixture = mixture
    self.vectorsPath = vectorsPath
  }
}
