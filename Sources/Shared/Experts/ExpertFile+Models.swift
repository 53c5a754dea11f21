extension ExpertFile {
  /// Finds the one registered model that the expert is for, and checks it against that.
  ///
  /// Decides in this order: the base digest; that the shapes fit exactly one model; `t2.base.model_id` where they fit
  /// several. Nothing is guessed: where several remain, the error names them. Errors in the values, such as a NaN, are
  /// those of the model that was decided on.
  ///
  /// This is for what comes in, so vectors that no good file has are refused too.
  package func validated(against models: [ModelSignature]) throws(ExpertFileError) -> ValidatedExpert {
    if let part = ExpertPart(fileName: fileName) { throw .partOfAnExpert(part) }
    let expert = try validated(againstOneOf: models)
    try expert.refuseZeros()
    return try checkedAtEnd(expert)
  }

  private func validated(againstOneOf models: [ModelSignature]) throws(ExpertFileError) -> ValidatedExpert {
    guard !models.isEmpty else { throw .noModels }
    if let declared = metadata.baseDigest {
      // One base may be registered twice, and factored differently.
      let same = models.filter { $0.digest == declared }
      var refusal: ExpertFileError?
      for model in same {
        do throws(ExpertFileError) { return try validated(against: model) } catch {
          guard case .notFactored = error else { throw error }
          refusal = refusal ?? error
        }
      }
      if let refusal { throw refusal }
    }
    var fitting: [ModelSignature] = []
    var reasons: [(model: String, reason: String)] = []
    var firstMismatch: ExpertFileError?
    for model in models {
      do throws(ExpertFileError) {
        try fits(model)
        fitting.append(model)
      } catch {
        reasons.append((model.name, error.description))
        if firstMismatch == nil { firstMismatch = error }
      }
    }
    if fitting.count > 1, let id = metadata.baseModelID {
      let named = fitting.filter { $0.modelID == id || $0.name == id }
      if named.count == 1 { fitting = named }
    }
    guard let model = fitting.first else {
      // With one model its own error says more, and keeps its code.
      if models.count == 1, let firstMismatch { throw firstMismatch }
      throw .noModelFits(reasons)
    }
    guard fitting.count == 1 else { throw .ambiguousModel(names: fitting.map(\.name)) }
    return try validated(against: model)
  }
}
