import Registry
import RPCProtocol
import StrictJSON
import SystemSupport

extension SystemAudit: HandledMethod {
  /// As many findings are listed: an answer has a limit, and who has more of them wants to know how many.
  fileprivate static let listed = 200

  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let audit = try answering { () throws(RegistryError) in
        try StoreAudit(of: coordinator.catalogue, depth: .names)
      }
      let sorted = audit.problems + audit.findings.filter { !$0.isProblem }
      reply.succeed(
        Result(
          ok: audit.problems.isEmpty, files: audit.files, bytes: audit.bytes,
          findings: sorted.prefix(listed).map {
            AuditFinding(
              kind: $0.kind.rawValue, path: $0.path, subject: $0.subject, message: $0.message, bytes: $0.bytes,
              changed: $0.changed?.description)
          }, more: max(0, sorted.count - listed)))
    }
  }
}

extension SystemGC: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let who = Service.who(reply)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let grace = coordinator.configuration.gc.grace
      let before = Timestamp(milliseconds: Timestamp.now.milliseconds - grace.inNanoseconds / 1_000_000)
      let (removed, audit) = try answering { () throws(RegistryError) in
        let removed = try coordinator.catalogue.removals(before: before)
        return (removed, try StoreAudit(of: coordinator.catalogue, depth: .names, givingUp: removed))
      }
      let garbage = audit.garbage(before: before)
      if asked.apply {
        try answering { () throws(RegistryError) in try coordinator.collect(garbage, removed, who: who) }
      }
      reply.succeed(
        Result(
          applied: asked.apply, files: garbage.count, bytes: garbage.reduce(0) { $0 + $1.bytes },
          paths: garbage.prefix(SystemAudit.listed).map(\.path),
          removals: removed.count,
          young: audit.findings.count - audit.problems.count - garbage.count))
    }
  }
}

extension Coordinator {
  /// Gives up what was removed, and removes what nothing names. Nothing that is named can become garbage meanwhile, and
  /// nothing of this can be named again: both are done by this thread.
  fileprivate func collect(
    _ garbage: [StoreAudit.Finding], _ removed: [Removal], who: String
  ) throws(RegistryError) {
    guard !garbage.isEmpty || !removed.isEmpty else { return }
    guard backup == nil else {
      throw .conflict("a backup is being written, and nothing is removed before it has ended; try again then")
    }
    if !removed.isEmpty {
      try writer.change { () throws(RegistryError) in try catalogue.purge(removed, now: .now) }
    }
    for finding in garbage {
      do throws(SystemCallError) { try FileSystem.removeTree(finding.path) } catch { throw .files(error) }
      log.info("a file that nothing names is removed", ["path": finding.path, "bytes": finding.bytes])
    }
    try writer.change { () throws(RegistryError) in
      try catalogue.record(
        "store.collected", "store",
        [
          "files": JSONValue(garbage.count), "bytes": JSONValue(garbage.reduce(0) { $0 + $1.bytes }),
          "removals": JSONValue(removed.count), "who": .string(who),
        ], now: .now)
    }
  }
}
