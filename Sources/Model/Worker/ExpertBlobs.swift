import Adaptation
import Digests
import Engines
import Experts
import ModelFormats
import Multipliers
import SystemSupport
import WorkerProtocol

extension LoadedModel {
  /// What an expert is checked against; the daemon has checked it before, this guards against a wrong blob.
  var signature: ModelSignature {
    get throws(WorkerFault) {
      guard let digest = Digest(description: model.facts.digest) else {
        throw WorkerFault(.failed, "the model's digest '\(model.facts.digest)' is not one")
      }
      return ModelSignature(
        name: model.facts.modelID, modelID: model.facts.modelID, digest: digest,
        architecture: model.facts.architecture, layout: model.layout)
    }
  }

  /// Reads the blob of an expert version, once and whole: what is used is what was hashed.
  func readExpert(_ reference: ExpertReference) throws(WorkerFault) -> LoadedExpert {
    let signature = try signature
    let bytes = try reference.readBlob()
    do throws(ExpertFileError) {
      let file = try ExpertFile.read(bytes: bytes, fileName: reference.name + ".safetensors")
      let expert = try file.validated(against: signature)
      return LoadedExpert(reference: reference, multipliers: expert.multiplierVector, rescale: expert.rescale)
    } catch {
      throw WorkerFault(.expertUnreadable, "cannot use expert '\(reference.name)@\(reference.version)': \(error)")
    }
  }
}

extension ExpertReference {
  /// The blob's bytes, where they are those that were stored.
  fileprivate func readBlob() throws(WorkerFault) -> [UInt8] {
    let what = "what is stored of '\(name)@\(version)'"
    let bytes: [UInt8]
    do throws(SystemCallError) {
      bytes = try FileSystem.readAll(path, maximumBytes: ExpertFile.maximumBytes)
    } catch {
      // Too many open files are no fault of the blob's.
      guard blob != nil, error.isOfTheFile else {
        throw WorkerFault(blob == nil ? .expertUnreadable : .files, "cannot use \(what): \(error)", retry: blob != nil)
      }
      throw .damaged(what, path, error.description)
    }
    if let blob, SHA256.digest(bytes).hex != blob {
      throw .damaged(what, path, "its content is not what was stored")
    }
    return bytes
  }
}

extension AdaptJob {
  /// Writes the effective multipliers of what is served to the place that the daemon named, and returns the digest of
  /// the bytes.
  func writeVectors(_ outcome: AdaptationOutcome, _ inputs: SearchInputs) throws(WorkerFault) -> Digest {
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
    let bytes = MixtureFile(
      name: inputs.task.name, task: inputs.task.name, vector: vector, model: signature, parents: parents
    ).bytes()
    do throws(SystemCallError) {
      try FileSystem.writeAtomically(spec.vectorsPath, bytes, mode: 0o644)
      return SHA256.digest(bytes)
    } catch {
      throw WorkerFault(.files, "cannot write the mixture's vectors: \(error)", retry: true)
    }
  }
}
