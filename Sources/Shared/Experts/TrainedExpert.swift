package import ModelFormats
package import Multipliers
package import StrictJSON

/// An expert that t2d trained, on its way to the door that every expert comes in by.
package struct TrainedExpert: Sendable {
  private let metadata: ExpertMetadata
  private let layout: MultiplierLayout
  /// What the numbers mean is in the metadata; flat by the layout as multipliers are.
  private let parameters: MultiplierVector
  private let matrices: [Int]

  /// - Parameters:
  ///   - maximumMultiplier: of `logit`; read there only.
  ///   - matrices: the numbers of those that were trained; the file names no others.
  ///   - trainedWith: objective, settings and digests of the data.
  ///   - metrics: what it does on rows that were held out.
  package init(
    name: String, kind: ExpertKind, label: String?, task: String?, parameters: [Float], space: ParameterSpace,
    maximumMultiplier: Float, matrices: [Int], model: ModelSignature, trainedWith: JSONValue, metrics: JSONValue
  ) {
    precondition(
      parameters.count == model.layout.count,
      "\(parameters.count) parameters are not those of '\(model.name)', which has \(model.layout.count)")
    var metadata = ExpertMetadata()
    metadata.name = name
    metadata.kind = kind
    metadata.label = label
    metadata.task = task
    metadata.parameterSpace = space
    if space == .logit { metadata.maximumMultiplier = maximumMultiplier }
    metadata.baseModelID = model.modelID
    metadata.baseDigest = model.digest
    metadata.baseArchitecture = model.architecture
    metadata.trainedWith = trainedWith.jsonText
    metadata.metrics = metrics.jsonText
    self.metadata = metadata
    layout = model.layout
    self.parameters = MultiplierVector(parameters)
    self.matrices = matrices
  }

  /// Writes the file whole or not at all, durably. The same training gives the same bytes: there is no date in them.
  package func write(to path: String) throws(SafetensorsError) {
    try writeSafetensors(to: path, tensors: parameters.tensors(of: matrices, in: layout), metadata: metadata.entries)
  }
}
