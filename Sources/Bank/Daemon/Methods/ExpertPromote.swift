import Records
import Registry
import RPCProtocol

extension ExpertPromote: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let text = asked.expert
    let insists = asked.allowBase
    let overrules = asked.allowQuarantined
    let why = asked.reason ?? ""
    let who = Service.who(reply)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let version = try coordinator.snapshot.resolveVersion(text)
      let hasPassed =
        coordinator.snapshot.model(version.model).map { coordinator.snapshot.hasPassed(version, on: $0) } ?? false
      guard !version.isForeign || insists || hasPassed else {
        throw RPCError(
          .foreignExpert,
          "'\(version.name)@\(version.version)' was made for another base than model '\(version.model)', and no transfer "
            + "check has passed",
          hint: "t2ctl check transfer \(text) --to \(version.model), or use --allow-base")
      }
      try coordinator.snapshot.requireWhole(version)
      guard version.state != .quarantined || overrules else {
        throw RPCError(
          .conflict,
          "'\(version.name)@\(version.version)' is quarantined: "
            + "\(version.quarantine?.kind ?? "by a check"), check \(version.quarantine?.check ?? 0)",
          hint: "see 't2ctl expert show \(text)', or use --allow-quarantined")
      }
      try coordinator.move(version.name, .promote, to: version.version, who: who, why: why, reply)
    }
  }
}

extension ExpertRollback: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let name = asked.expert
    let why = asked.reason ?? ""
    let who = Service.who(reply)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let (expert, _) = try coordinator.snapshot.resolveExpert(name)
      let before = try answering { () throws(RegistryError) in try coordinator.catalogue.versionBefore(expert.name) }
      guard let before else {
        throw RPCError(.conflict, "no version of '\(expert.name)' was active before the present one")
      }
      if let version = expert.version(before) { try coordinator.snapshot.requireWhole(version) }
      try coordinator.move(expert.name, .rollback, to: before, who: who, why: why, reply)
    }
  }
}

extension ExpertRetire: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let name = asked.expert
    let why = asked.reason ?? ""
    let who = Service.who(reply)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let (expert, _) = try coordinator.snapshot.resolveExpert(name)
      try coordinator.move(expert.name, .retire, to: nil, who: who, why: why, reply)
    }
  }
}

extension Coordinator {
  /// Moves an alias on a client's request, and answers.
  func move(
    _ name: String, _ action: AliasMove.Action, to version: Int?, who: String, why: String, _ reply: Reply<AliasMoved>
  ) throws(RPCError) {
    let move = try answering { () throws(RegistryError) in
      try writer.change { () throws(RegistryError) in try promote(name, to: version, action, who: who, why: why) }
    }
    reconcile()
    let shown = version ?? move.from
    let state = shown.flatMap { snapshot.expert(name)?.version($0)?.state.rawValue }
    reply.succeed(AliasMoved(name: name, version: shown, state: state, active: version, previous: move.from))
  }
}
