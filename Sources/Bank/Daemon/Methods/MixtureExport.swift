import Digests
import Experts
import Multipliers
import RPCProtocol
import Records
import Registry
import Results
import StrictJSON
import SystemSupport

extension MixtureExport: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let name = try ServedName.read(asked.name)
    let snapshot = service.snapshots.get()
    let model: ModelRecord
    if let base = name.base, asked.model == nil {
      model = try snapshot.model(ofEngine: base, base: nil)
    } else {
      var task: String?
      if case .named(let reference) = name.choice { task = reference.name }
      model = try snapshot.resolveModel(asked.model, task: task)
    }
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let named = try service.resolve(name, on: model, coordinator)
      if let rank = asked.rank {
        coordinator.exportLoRA(named, rank: rank, asked, reply)
      } else {
        coordinator.place(named) { placed in coordinator.handOutSlot(named, placed, asked, reply) }
      }
    }
  }
}

extension Coordinator {
  fileprivate func handOutSlot(
    _ named: NamedWeights, _ placed: Result<(path: String, digest: String), RPCError>,
    _ asked: MixtureExport.Parameters, _ reply: Reply<MixtureExport.Result>
  ) {
    answer(reply) { () throws(RPCError) in
      let (path, digest) = try placed.get()
      let (file, bytes) = try Self.open(path + "/" + AdapterFiles.weights)
      let result = try exported(named, .slot, rank: 1, digest: digest, bytes: bytes, fit: nil)
      return (result, asked.passFD ? file : nil)
    }
  }

  fileprivate func exportLoRA(
    _ named: NamedWeights, rank: Int, _ asked: MixtureExport.Parameters, _ reply: Reply<MixtureExport.Result>
  ) {
    export(named, rank: rank) { [unowned self] written in
      answer(reply) { () throws(RPCError) in
        let (found, path) = try written.get()
        // Nobody else knows of it: open, it is the client's alone.
        defer { _ = try? FileSystem.remove(path) }
        let (file, bytes) = try Self.open(path)
        let result = try exported(named, .lora, rank: rank, digest: found.digest, bytes: bytes, fit: found.fit)
        return (result, asked.passFD ? file : nil)
      }
    }
  }

  private func answer(
    _ reply: Reply<MixtureExport.Result>,
    _ body: () throws(RPCError) -> (MixtureExport.Result, FileDescriptor?)
  ) {
    do throws(RPCError) {
      let (result, file) = try body()
      reply.succeed(result, descriptor: file)
    } catch {
      reply.fail(error)
    }
  }

  private static func open(_ path: String) throws(RPCError) -> (FileDescriptor, bytes: Int) {
    do throws(SystemCallError) {
      let file = try FileDescriptor.open(path)
      return (file, try file.status().size)
    } catch {
      throw RPCError(.internal, "what was written cannot be opened: \(error)")
    }
  }

  private func exported(
    _ named: NamedWeights, _ kind: AdapterFiles.Kind, rank: Int, digest text: String, bytes: Int, fit: LowRankFit?
  ) throws(RPCError) -> MixtureExport.Result {
    guard let digest = Digest(description: text) else {
      throw RPCError(.internal, "the worker's digest '\(text)' is none")
    }
    var facts: JSONObject = ["name": .string(named.name.key)]
    if let generation = named.generation { facts["generation"] = .integer(generation) }
    if let fit { facts["fit"] = RecordWriter.json(fit) }
    return MixtureExport.Result(
      name: named.name.key, model: named.model.name, digest: text, generation: named.generation, bytes: bytes,
      configuration: AdapterFiles.configuration(
        kind, rank: rank, digest: digest, model: try signature(of: named.model), facts: facts),
      fit: fit, warnings: named.warnings)
  }
}
