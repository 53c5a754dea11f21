import Records
import Registry
import RPCProtocol
import StrictJSON

extension ExpertShow: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let snapshot = service.snapshots.get()
    let (expert, version) = try snapshot.resolveExpert(asked.expert)
    let stored: StoredDetails
    do {
      stored = try RecordReader(unknownMembers: .ignored).read(try parseJSON(version.details))
    } catch {
      throw RPCError(.internal, "the stored details of '\(version.name)@\(version.version)' are damaged: \(error)")
    }
    let checks = snapshot.checks(of: version.name, version: version.version)
    reply.succeed(
      Result(
        row: version.row(active: expert.active, damage: snapshot.damage(of: version)),
        versions: expert.versions.map(\.version), details: stored.details,
        base: Base(
          modelID: stored.baseModelID, digest: stored.baseDigest, arch: stored.baseArch, match: stored.baseMatch),
        metadata: stored.metadata, checks: checks.map(\.row),
        uncheckedBecause: snapshot.whyUnchecked(version, isOnArrival: service.configuration.checks.onArrival),
        source: version.source, addedBy: version.addedBy))
  }

  /// What the catalogue keeps of the file: `ValidatedExpert.summary`.
  private struct StoredDetails: Codable {
    @Flattened var details: Details
    var baseModelID: String?
    var baseDigest: String?
    var baseArch: String?
    var baseMatch: String?
    @Flattened var metadata: Metadata
  }
}
