package import Digests
package import ModelFormats
package import Multipliers
import StrictJSON

/// The file that serves a mixture: the effective multipliers after the rescale, as an expert with `t2.kind` = `mixture`.
///
/// It is itself a valid expert, so a mixture can be exported, dropped into another daemon, and mixed again.
package struct MixtureFile: Sendable {
  /// An expert of the mixture, and what was taken of it.
  package struct Parent: Sendable, Equatable {
    package var name: String
    package var version: Int
    /// The content digest of that version.
    package var digest: Digest
    /// One coefficient a unit; one alone under granularity `vector`.
    package var alpha: [Float]

    package init(name: String, version: Int, digest: Digest, alpha: [Float]) {
      self.name = name
      self.version = version
      self.digest = digest
      self.alpha = alpha
    }
  }

  package let metadata: ExpertMetadata
  package let layout: MultiplierLayout
  package let vector: MultiplierVector

  /// - Parameters:
  ///   - name: an expert name; usually that of the task.
  ///   - vector: effective multipliers, flat by the model's layout.
  ///   - parents: the experts of the mixture.
  package init(
    name: String, task: String?, vector: MultiplierVector, model: ModelSignature, parents: [Parent]
  ) {
    precondition(
      vector.values.count == model.layout.count,
      "\(vector.values.count) multipliers are not those of '\(model.name)', which has \(model.layout.count)")
    var metadata = ExpertMetadata()
    metadata.name = name
    metadata.kind = .mixture
    metadata.baseModelID = model.modelID
    metadata.baseDigest = model.digest
    metadata.baseArchitecture = model.architecture
    metadata.task = task
    let list = parents.map { parent -> JSONValue in
      [
        "name": .string(parent.name), "version": JSONValue(parent.version),
        "digest": .string(parent.digest.description),
        "alpha": .array(parent.alpha.map { .float($0) }),
      ]
    }
    metadata.parents = JSONValue.array(list).jsonText
    self.metadata = metadata
    layout = model.layout
    self.vector = vector
  }

  private var tensors: [SafetensorsTensor] { vector.tensors(of: layout.factored, in: layout) }

  /// The same mixture gives the same bytes: there is no date in them.
  package func bytes() -> [UInt8] { safetensorsBytes(tensors: tensors, metadata: metadata.entries) }

  /// Writes the file whole or not at all, durably.
  package func write(to path: String) throws(SafetensorsError) {
    try writeSafetensors(to: path, tensors: tensors, metadata: metadata.entries)
  }
}

extension MultiplierVector {
  /// The multipliers of some matrices, as an expert file holds them.
  func tensors(of matrices: [Int], in layout: MultiplierLayout) -> [SafetensorsTensor] {
    matrices.map { index in
      let values = Array(self.values[layout.range(of: index)])
      return SafetensorsTensor(name: layout.matrices[index].name, shape: [values.count], values: values)
    }
  }
}
