import Registry
import RPCProtocol
import SystemSupport

extension ExpertRemove: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let text = asked.expert
    service.remove(asked.reason, apply: asked.apply, reply) { (snapshot) throws(RPCError) in
      let version = try snapshot.resolveVersion(text)
      return .expert(version.name, version: version.version)
    }
  }
}

extension TaskRemove: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let name = asked.task
    service.remove(asked.reason, apply: asked.apply, reply) { (snapshot) throws(RPCError) in
      .task(try snapshot.resolveTask(name).name)
    }
  }
}

extension ModelRemove: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let name = asked.name
    service.remove(asked.reason, apply: asked.apply, reply) { (snapshot) throws(RPCError) in
      .model(try snapshot.registeredModel(name).name)
    }
  }
}

extension RemovalList: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let start = try Page(asked.page)
    let grace = service.configuration.gc.grace
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      var page = start
      let removals = try page.wanted().map { (before, limit) throws(RPCError) in
        try answering { () throws(RegistryError) in
          try coordinator.catalogue.removals(before: before, limit: limit)
        }
      }
      let rows = try page.rows(of: removals ?? [], by: { [.newest($0.id)] }) { $0.row(grace: grace) }
      reply.succeed(Result(removals: rows, next: page.next))
    }
  }
}

extension RemovalUndo: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let id = asked.removal
    let who = Service.who(reply)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let removal = try answering { () throws(RegistryError) in try coordinator.undo(id, who: who) }
      let isExpert = removal.subject.version != nil
      reply.succeed(
        Result(
          row: removal.row(grace: coordinator.configuration.gc.grace),
          active: isExpert ? coordinator.snapshot.expert(removal.subject.name)?.active : nil))
    }
  }
}

extension Service {
  /// Removes what `find` finds, or only says what depends on it.
  fileprivate func remove(
    _ reason: String?, apply: Bool, _ reply: Reply<Removed>,
    _ find: @escaping @Sendable (Snapshot) throws(RPCError) -> Removal.Subject
  ) {
    let who = Service.who(reply)
    onCatalogue(reply) { coordinator throws(RPCError) in
      let subject = try find(coordinator.snapshot)
      let (depends, removal) = try answering { () throws(RegistryError) in
        let depends = try coordinator.dependents(of: subject)
        return (depends, apply ? try coordinator.remove(subject, who: who, why: reason ?? "") : nil)
      }
      reply.succeed(
        Removed(
          applied: apply, kind: subject.kind, name: subject.name, version: subject.version, removal: removal?.id,
          keptUntil: removal?.keptUntil(coordinator.configuration.gc.grace), depends: depends))
    }
  }
}

extension Removal {
  fileprivate func row(grace: Duration) -> RemovalRow {
    RemovalRow(
      removal: id, kind: subject.kind, name: subject.name, version: subject.version, state: state, who: who,
      reason: why,
      time: time.description, ended: ended?.description, keptUntil: state == .removed ? keptUntil(grace) : nil)
  }

  fileprivate func keptUntil(_ grace: Duration) -> String {
    Timestamp(milliseconds: time.milliseconds + grace.inNanoseconds / 1_000_000).description
  }
}
