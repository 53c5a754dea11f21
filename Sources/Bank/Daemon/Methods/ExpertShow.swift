import Registry
import RPCProtocol
import RPCServer
import StrictJSON

extension ExpertShow: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let (expert, version) = try service.snapshots.get().resolveExpert(asked.expert)
    var row = version.json(active: expert.active)
    row["versions"] = .array(expert.versions.map { JSONValue($0.version) })
    let details: JSONObject
    do { details = try parseJSON(version.details).objectValue ?? [:] } catch {
      throw RPCError(.internal, "the stored details of '\(version.name)@\(version.version)' are damaged: \(error)")
    }
    for key in ["param_space", "max_mult", "rescale", "matrices", "parameters"] { row[key] = details[key] }
    row["base"] = [
      "model_id": details["base_model_id"] ?? .null, "digest": details["base_digest"] ?? .null,
      "arch": details["base_arch"] ?? .null, "match": details["base_match"] ?? .null,
    ]
    var metadata = JSONObject()
    for key in ["description", "license", "created", "metrics", "trained_with", "parents"] {
      if let value = details[key] { metadata[key] = value }
    }
    row["metadata"] = .object(metadata)
    let snapshot = service.snapshots.get()
    let checks = snapshot.checks.filter { sameName($0.expert, version.name) && $0.version == version.version }
    row["checks"] = .array(checks.map { .object($0.row) })
    if let reason = snapshot.whyUnchecked(version, isOnArrival: service.configuration.checks.onArrival) {
      row["unchecked_because"] = .string(reason)
    }
    row["source"] = .string(version.source)
    row["added_by"] = .string(version.addedBy)
    reply.succeed(.object(row))
  }
}
