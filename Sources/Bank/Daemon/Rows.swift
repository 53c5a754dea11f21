import Multipliers
import RPCProtocol
import Registry
import StrictJSON
import WorkerProtocol

// How things of the catalogue look in answers. One thing has one shape everywhere.

extension ModelRecord {
  func json(experts: Int) -> JSONObject {
    var row: JSONObject = [
      "name": .string(name), "state": .string(state.rawValue), "architecture": JSONValue(facts?.architecture),
      "parameters": facts.map { .integer($0.parameters) } ?? .null,
      "layers": facts.map { JSONValue($0.layers) } ?? .null,
      "context": facts.map { JSONValue($0.contextLength) } ?? .null, "quantization": JSONValue(facts?.quantization),
      "digest": JSONValue(facts?.digest), "path": .string(path), "experts": JSONValue(experts),
    ]
    if let problem { row["problem"] = .string(problem) }
    return row
  }

  func fullJSON(experts: Int) -> JSONObject {
    var row = json(experts: experts)
    if let facts {
      row["model_id"] = .string(facts.modelID)
      row["hidden"] = JSONValue(facts.hidden)
      row["vocabulary"] = JSONValue(facts.vocabulary)
      row["tokenizer"] = .bool(facts.hasTokenizer)
      row["chat_template"] = JSONValue(facts.chatTemplate)
      if let problem = facts.chatTemplateProblem { row["chat_template_problem"] = .string(problem) }
      row["target_matrices"] = JSONValue(facts.targets.count)
      row["factorization"] = ["seconds": .number(facts.factorizationSeconds)]
    }
    row["added"] = .string(added.description)
    row["added_by"] = .string(addedBy)
    return row
  }
}

extension ExpertVersion {
  func json(active: Int?) -> JSONObject {
    var row: JSONObject = [
      "name": .string(name), "label": JSONValue(label), "version": JSONValue(version),
      "active": active.map { JSONValue($0) } ?? .null, "state": .string(state.rawValue), "model": .string(model),
      "kind": .string(kind), "task": JSONValue(task), "digest": .string(digest), "bytes": JSONValue(blob.bytes),
      "added": .string(added.description), "warnings": JSONValue(warnings),
    ]
    if isForeign { row["foreign"] = true }
    if let quarantine { row["quarantine"] = .object(quarantine) }
    return row
  }
}

extension TaskRecord {
  /// Without the state of its mixtures, which `Snapshot.taskRow` adds.
  var json: JSONObject {
    [
      "name": .string(name), "revision": JSONValue(current.revision), "rows": JSONValue(current.rows),
      "eval_rows": JSONValue(current.evalRows), "scoring": .string(current.scoring),
      "metric": .string(current.metric),
    ]
  }
}

extension ServedMixture {
  /// A line of `mixture.list`.
  var row: MixtureRow {
    MixtureRow(
      task: mixture.pair.task, model: mixture.pair.model, mixture: mixture.record, staleReason: staleReason,
      generation: generation, created: mixture.added.description)
  }
}

extension IngestRecord {
  func json(directory path: String) -> JSONObject {
    var row: JSONObject = [
      "path": .string(path + "/" + file), "state": .string(state.rawValue), "kind": JSONValue(kind),
      "message": JSONValue(message), "time": .string(time.description),
    ]
    if let subject { row["name"] = .string(subject) }
    if let version { row["version"] = JSONValue(version) }
    if !warnings.isEmpty { row["warnings"] = JSONValue(warnings) }
    return row
  }
}

extension JobRecord {
  func json(_ progress: JobProgress?, full: Bool) -> JSONObject {
    var row: JSONObject = [
      "job": .integer(id), "kind": .string(kind.name), "state": .string(state.rawValue), "task": JSONValue(task),
      "model": JSONValue(model), "attempts": JSONValue(attempts),
      "fraction": .number(state == .done ? 1 : progress?.fraction ?? 0),
      "created": .string(created.description), "started": JSONValue(started?.description),
      "ended": JSONValue(ended?.description), "reason": .string(reason),
    ]
    if let progress, !state.isFinal {
      row["phase"] = .string(progress.phase)
      row["detail"] = .string(progress.detail)
      if let best = progress.best, best.isFinite { row["best"] = .number(best) }
      if let seconds = progress.etaSeconds, seconds.isFinite { row["eta_seconds"] = .number(seconds) }
    }
    if let error { row["error"] = error }
    if full {
      row["who"] = .string(who)
      row["spec"] = spec.forClients
      if !options.isEmpty { row["options"] = .object(options) }
      if let result { row["result"] = result }
    }
    return row
  }
}

extension JSONValue {
  /// A job's spec without what is the daemon's own: where it keeps and stages files, and the form that it is stored in.
  fileprivate var forClients: JSONValue {
    func withoutPaths(_ value: JSONValue) -> JSONValue {
      switch value {
      case .object(let object):
        var kept = JSONObject()
        for (name, member) in object.members
        where name != "path" && name != "cache_directory" && !name.hasSuffix("_path") {
          kept[name] = withoutPaths(member)
        }
        return .object(kept)
      case .array(let items): return .array(items.map(withoutPaths))
      case .null, .bool, .integer, .number, .string: return value
      }
    }
    guard case .object(var spec) = withoutPaths(self) else { return .null }
    spec["version"] = nil
    return .object(spec)
  }
}

extension Snapshot {
  /// `rejected`: files that are not what they should be, and those that are not there yet.
  func rejected(_ directory: IngestRecord.Directory?, _ paths: DaemonPaths) -> JSONValue {
    .array(
      ingested.filter { record in
        (directory.map { $0 == record.directory } ?? true)
          && [.rejected, .incomplete, .waitingForModel].contains(record.state)
      }.map { .object($0.json(directory: paths.directory($0.directory))) })
  }

  func experts(ofModel name: String) -> Int {
    experts.count { $0.activeVersion.map { sameName($0.model, name) } ?? false }
  }

  /// A task with the state of its mixtures. `state` is that of its only or its worst pair.
  func taskRow(_ task: TaskRecord) -> JSONObject {
    let pairs = pairs(of: task)
    var row = task.json
    row["models"] = JSONValue(pairs.map(\.pair.model))
    let order: [PairState] = [.failed, .running, .queued, .pending, .stale, .waitingForExperts, .ready]
    let worst = order.first { state in pairs.contains { $0.state == state } }
    row["state"] = .string(worst?.rawValue ?? "waiting_for_model")
    row["job"] = pairs.compactMap(\.job).first.map { .integer($0) } ?? .null
    row["stale"] = .bool(pairs.contains { mixture($0.pair)?.staleReason != nil })
    return row
  }

  /// How far a pair's mixture is.
  enum PairState: String {
    case ready, stale, queued, running, failed
    /// Its search begins as soon as things are quiet.
    case pending
    case waitingForExperts = "waiting_for_experts"
  }

  struct PairStatus {
    var pair: Pair
    var state: PairState
    var job: Int64?
  }

  func pairs(of task: TaskRecord) -> [PairStatus] {
    models(of: task).map { model in
      let pair = Pair(task: task.name, model: model.name)
      let live = jobs.filter { job in
        job.kind == AdaptSpec.kind && sameName(job.task ?? "", task.name) && sameName(job.model ?? "", model.name)
      }
      let served = mixture(pair)
      let state: PairState
      if live.contains(where: { $0.state == .running }) {
        state = .running
      } else if !live.isEmpty {
        state = .queued
      } else if served?.staleReason != nil || served == nil, failedSearches[pair] != nil {
        state = .failed
      } else if let served {
        state = served.staleReason == nil ? .ready : .stale
      } else if experts(ofModel: model.name) == 0 {
        state = .waitingForExperts
      } else {
        state = .pending
      }
      return PairStatus(pair: pair, state: state, job: live.last?.id)
    }
  }
}

extension DaemonPaths {
  func directory(_ directory: IngestRecord.Directory) -> String {
    switch directory {
    case .experts: experts
    case .tasks: tasks
    }
  }
}
