package import ModelFormats
package import Multipliers
package import StrictJSON

/// An expert that t2d trained, on its way to the door that every expert comes in by.
package struct TrainedExpert: Sendable {
  private let metadata: ExpertMetadata
  private let layout: MultiplierLayout
  private let vector: MultiplierVector
  private let matrices: [Int]

  /// - Parameters:
  ///   - matrices: the numbers of those that were trained; the file names no others.
  ///   - trainedWith: objective, settings and digests of the data.
  ///   - metrics: what it does on rows that were held out.
  package init(
    name: String, kind: ExpertKind, label: String?, task: String?, vector: MultiplierVector, matrices: [Int],
    model: ModelSignature, trainedWith: JSONValue, metrics: JSONValue
  ) {
    precondition(
      vector.values.count == model.layout.count,
      "\(vector.values.count) multipliers are not those of '\(model.name)', which has \(model.layout.count)")
    var metadata = ExpertMetadata()
    metadata.name = name
    metadata.kind = kind
    metadata.label = label
    metadata.task = task
    metadata.baseModelID = model.modelID
    metadata.baseDigest = model.digest
    metadata.baseArchitecture = model.architecture
    metadata.trainedWith = trainedWith.jsonText
    metadata.metrics = metrics.jsonText
    self.metadata = metadata
    layout = model.layout
    self.vector = vector
    self.matrices = matrices
  }

  /// Writes the file whole or not at all, durably. The same training gives the same bytes: there is no date in them.
  package func write(to path: String) throws(SafetensorsError) {
    try writeSafetensors(to: path, tensors: vector.tensors(of: matrices, in: layout), metadata: metadata.entries)
  }
}
