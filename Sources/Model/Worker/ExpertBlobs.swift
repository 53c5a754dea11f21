import Adaptation
import Digests
import Experts
import ModelFormats
import Multipliers
import Transformer
import WorkerProtocol

extension LoadedModel {
  /// What an expert is checked against; the daemon has checked it before, this guards against a wrong blob.
  var signature: ModelSignature {
    get throws(WorkerFault) {
      guard let digest = Digest(description: model.digest) else {
        throw WorkerFault(.failed, "the model's digest '\(model.digest)' is not one")
      }
      return ModelSignature(
        name: model.configuration.modelID, modelID: model.configuration.modelID, digest: digest,
        architecture: model.configuration.architecture, layout: model.layout)
    }
  }

  /// Reads the blob of an expert version.
  func readExpert(_ reference: ExpertReference) throws(WorkerFault) -> LoadedExpert {
    let signature = try signature
    do throws(ExpertFileError) {
      let file = try ExpertFile.read(path: reference.path, fileName: reference.name + ".safetensors")
      let expert = try file.validated(against: signature)
      return LoadedExpert(reference: reference, multipliers: expert.multiplierVector, rescale: expert.rescale)
    } catch {
      throw WorkerFault(.expertUnreadable, "cannot use expert '\(reference.name)@\(reference.version)': \(error)")
    }
  }
}

extension AdaptJob {
  /// Writes the effective multipliers of what is served to the place that the daemon named.
  func writeVectors(_ outcome: AdaptationOutcome, _ inputs: SearchInputs) throws(WorkerFault) {
    let signature = try inputs.model.signature
    let vector = try faulting { try inputs.mixer.multipliers(outcome.alpha) }
    var parents: [MixtureFile.Parent] = []
    for (expert, alpha) in zip(inputs.experts, outcome.alpha.alpha) {
      let reference = expert.reference
      guard let digest = Digest(description: reference.digest) else {
        throw WorkerFault(.badRequest, "expert '\(reference.name)' has no digest but '\(reference.digest)'")
      }
      parents.append(.init(name: reference.name, version: reference.version, digest: digest, alpha: alpha))
    }
    do throws(SafetensorsError) {
      try MixtureFile(
        name: inputs.task.name, task: inputs.task.name, vector: vector, model: signature, parents: parents
      ).write(to: spec.vectorsPath)
    } catch {
      throw WorkerFault(.files, "cannot write the mixture's vectors: \(error)", retry: true)
    }
  }
}
