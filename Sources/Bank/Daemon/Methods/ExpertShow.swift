import Records
import Registry
import RPCProtocol
import StrictJSON

extension ExpertShow: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    _ = try service.snapshots.get().resolveExpert(asked.expert)
    let isOnArrival = service.configuration.checks.onArrival
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let snapshot = coordinator.snapshot
      let (expert, version) = try snapshot.resolveExpert(asked.expert)
      let stored = try coordinator.details(of: version)
      let checks = snapshot.checks(of: version.name, version: version.version)
      reply.succeed(
        Result(
          row: version.row(active: expert.active, damage: snapshot.damage(of: version)),
          versions: expert.versions.map(\.version), details: stored.details,
          base: Base(
            modelID: stored.baseModelID, digest: stored.baseDigest, arch: stored.baseArch, match: stored.baseMatch),
          metadata: stored.metadata, checks: checks.map(\.row),
          uncheckedBecause: snapshot.whyUnchecked(version, isOnArrival: isOnArrival), source: version.source,
          addedBy: version.addedBy))
    }
  }

  /// What the catalogue keeps of the file: `ValidatedExpert.summary`.
  fileprivate struct StoredDetails: Codable {
    @Flattened var details: Details
    var baseModelID: String?
    var baseDigest: String?
    var baseArch: String?
    var baseMatch: String?
    @Flattened var metadata: Metadata
  }
}

extension Coordinator {
  fileprivate func details(of version: ExpertVersion) throws(RPCError) -> ExpertShow.StoredDetails {
    let text = try answering { () throws(RegistryError) in
      try catalogue.details(ofExpert: version.name, version: version.version)
    }
    do {
      return try RecordReader(unknownMembers: .ignored).read(try parseJSON(text ?? ""))
    } catch {
      throw RPCError(.internal, "the stored details of '\(version.name)@\(version.version)' are damaged: \(error)")
    }
  }
}
