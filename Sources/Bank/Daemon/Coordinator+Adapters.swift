import Digests
import Experts
import Glibc
import Multipliers
import Registry
import RPCProtocol
import SystemSupport
import WorkerProtocol

// The multipliers of weights, for who takes them away.

extension Coordinator {
  /// The effective multipliers of weights, now or, where the rescale needs singular values, which the worker has, later;
  /// `then` is called on the catalogue's thread.
  func multipliers(
    of named: NamedWeights, then: @escaping (Result<MultiplierVector, RPCError>) -> Void
  ) {
    do throws(RPCError) {
      let signature = try signature(of: named.model)
      switch named.weights {
      case .base: then(.success(.ones(signature.layout.count)))
      case .mixture(let mixture) where mixture.rescale == .none:
        var experts: [MultiplierVector] = []
        for expert in mixture.experts { experts.append(try read(expert, signature)) }
        then(.success(try mixed(mixture, experts, signature.layout)))
      case .mixture: askForMultipliers(of: named, signature, then: then)
      }
    } catch {
      then(.failure(error))
    }
  }

  func signature(of model: ModelRecord) throws(RPCError) -> ModelSignature {
    guard let signature = model.signature else {
      throw RPCError(.noModel, "model '\(model.name)' is not ready", hint: "see: t2ctl model show \(model.name)")
    }
    return signature
  }

  private func mixed(
    _ mixture: Weights.Mixture, _ experts: [MultiplierVector], _ layout: MultiplierLayout
  ) throws(RPCError) -> MultiplierVector {
    do throws(MixtureError) {
      return try mixedMultipliers(
        MixtureCoefficients(granularity: mixture.granularity, mix: mixture.mix, alpha: mixture.alpha),
        experts: experts, layout: layout, sigma: [], rescale: .none)
    } catch {
      throw RPCError(.badMixture, error.description)
    }
  }

  /// The multipliers of a stored file, of which what is used is what was hashed.
  private func read(_ expert: ExpertReference, _ signature: ModelSignature) throws(RPCError) -> MultiplierVector {
    let what = "'\(expert.name)@\(expert.version)'"
    let bytes: [UInt8]
    do throws(SystemCallError) {
      bytes = try FileSystem.readAll(expert.path, maximumBytes: ExpertFile.maximumBytes)
    } catch {
      suspect(path: expert.path)
      throw RPCError(.damaged, "what is stored of \(what) cannot be read: \(error)", hint: "see: t2ctl status")
    }
    guard SHA256.digest(bytes).hex == expert.blob else {
      suspect(path: expert.path)
      throw RPCError(.damaged, "what is stored of \(what) is not what was stored", hint: "see: t2ctl status")
    }
    return try read(bytes, named: what, signature)
  }

  private func read(
    _ bytes: [UInt8], named what: String, _ signature: ModelSignature
  ) throws(RPCError) -> MultiplierVector {
    do throws(ExpertFileError) {
      return try ExpertFile.read(bytes: bytes, fileName: "stored.safetensors").validated(against: signature)
        .multiplierVector
    } catch {
      throw RPCError(.badExpert, "\(what) cannot be used: \(error)")
    }
  }

  /// The worker leaves them in `staging`.
  private func askForMultipliers(
    of named: NamedWeights, _ signature: ModelSignature,
    then: @escaping (Result<MultiplierVector, RPCError>) -> Void
  ) {
    export(named, rank: nil) { [unowned self] result in
      then(
        result.flatMap { answer, path in
          defer { _ = try? FileSystem.remove(path) }
          do throws(RPCError) {
            let (bytes, _) = try answering { () throws(RegistryError) in
              try store.read(staged: path, maximumBytes: ExpertFile.maximumBytes)
            }
            let vector = try read(bytes, named: "the mixture that the worker made", signature)
            guard vector.digest(in: signature.layout).description == answer.digest else {
              throw RPCError(.internal, "the multipliers that the worker wrote read back as others")
            }
            return .success(vector)
          } catch {
            return .failure(error)
          }
        })
    }
  }

  /// Has the worker write weights, or a LoRA of them, to a file in `staging`, which is the caller's then.
  func export(
    _ named: NamedWeights, rank: Int?,
    then: @escaping (Result<(answer: ExportAnswer, path: String), RPCError>) -> Void
  ) {
    let path = store.stagingPath("export")
    let call = ExportCall(model: reference(named.model), weights: named.weights, rank: rank, path: path)
    calls.send(.export(call), as: ExportAnswer.self) { result in
      if case .failure = result { _ = try? FileSystem.remove(path) }
      then(result.map { ($0, path) })
    }
  }
}
