import Experts
import Multipliers
import RPCProtocol
import SystemSupport

extension AdapterResolve: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let name = try ServedName.read(asked.name)
    let snapshot = service.snapshots.get()
    let model = try snapshot.model(ofEngine: asked.engineModel, base: name.base)
    // Whatever a client calls a model arrives here: what is not there is said without a turn of the catalogue's.
    try snapshot.requireKnown(name)
    let user = reply.connection.peer.user
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let named = try service.resolve(name, on: model, coordinator)
      if case .mixture = name.choice {
        try coordinator.adapters.admit("\(model.name)/\(name.key)", of: user, now: .now)
      }
      coordinator.place(named) { placed in
        reply.finish(
          placed.map {
            Result(
              path: $0.path, digest: $0.digest, generation: named.generation, name: name.key, model: model.name,
              warnings: named.warnings)
          })
      }
    }
  }
}

extension Coordinator {
  /// Has the adapter of weights written, where it is not there.
  func place(
    _ named: NamedWeights, then: @escaping (Result<(path: String, digest: String), RPCError>) -> Void
  ) {
    multipliers(of: named) { [unowned self] result in
      do throws(RPCError) {
        let vector = try result.get()
        let signature = try signature(of: named.model)
        let digest = vector.digest(in: signature.layout)
        let path = try adapters.place(vector, digest: digest, of: signature, now: .now)
        then(.success((path, digest.description)))
      } catch {
        then(.failure(error))
      }
    }
  }
}
