import Experts
import Multipliers
import RPCProtocol
import Registry
import Settings
import StrictJSON
import WorkerProtocol

// How things of the catalogue look in answers. One thing has one shape everywhere.

extension ModelRecord {
  func row(experts: Int) -> ModelRow {
    ModelRow(
      name: name, state: state.rawValue, architecture: facts?.architecture, parameters: facts?.parameters,
      layers: facts?.layers, context: facts?.contextLength, quantization: facts?.quantization, digest: facts?.digest,
      path: path, engine: engine, modules: modules.isEmpty ? nil : modules, experts: experts, problem: problem,
      warnings: facts?.warnings)
  }
}

extension ExpertVersion {
  func row(active: Int?, damage: Damage?) -> ExpertRow {
    ExpertRow(
      name: name, label: label, version: version, active: active, state: state.rawValue, model: model, kind: kind,
      task: task, digest: digest, bytes: blob.bytes, added: added.description, warnings: warnings,
      foreign: isForeign ? true : nil, quarantine: quarantine, damaged: damage?.cause)
  }
}

extension ServedMixture {
  /// A line of `mixture.list`.
  func row(damage: Damage?) -> MixtureRow {
    MixtureRow(
      task: mixture.pair.task, model: mixture.pair.model, mixture: mixture.record, staleReason: staleReason,
      generation: generation, created: mixture.added.description, damaged: damage?.cause)
  }
}

extension IngestRecord {
  /// Whether it stands among the `rejected`: not what it should be, or not there yet.
  fileprivate var isRejected: Bool { [.rejected, .incomplete, .waitingForModel].contains(state) }

  func row(directory path: String) -> IngestRow {
    IngestRow(
      path: path + "/" + file, state: state.rawValue, kind: kind, message: message, time: time.description,
      name: subject, version: version, warnings: warnings.isEmpty ? nil : warnings)
  }
}

extension JobRecord {
  /// A line of a list.
  func row(_ progress: JobProgress?) -> JobRow {
    var row = JobRow(
      job: id, kind: kind, state: state, task: task, model: model, attempts: attempts,
      fraction: state == .done ? 1 : progress?.fraction ?? 0, created: created.description,
      started: started?.description, ended: ended?.description, reason: reason,
      error: error.map {
        .init(kind: $0["kind"]?.stringValue ?? "job_failed", message: $0["message"]?.stringValue ?? "")
      })
    if let progress, !state.isFinal {
      (row.phase, row.detail) = (progress.phase, progress.detail)
      row.best = progress.best.flatMap { $0.isFinite ? $0 : nil }
      row.etaSeconds = progress.etaSeconds.flatMap { $0.isFinite ? $0 : nil }
    }
    return row
  }

  /// All that is known of it.
  func shown(_ progress: JobProgress?) -> Job {
    Job(
      row: row(progress), who: who, spec: spec.forClients, options: options.isEmpty ? nil : options, result: result)
  }
}

extension JSONValue {
  /// A job's spec without what is the daemon's own: where it keeps and stages files, and the form that it is stored in.
  fileprivate var forClients: JSONObject {
    func withoutPaths(_ value: JSONValue) -> JSONValue {
      switch value {
      case .object(let object): return .object(withoutPaths(object))
      case .array(let items): return .array(items.map(withoutPaths))
      case .null, .bool, .integer, .number, .string: return value
      }
    }
    func withoutPaths(_ object: JSONObject) -> JSONObject {
      var kept = JSONObject()
      for (name, member) in object.members
      where !["path", "cache_directory", "blob", "files"].contains(name) && !name.hasSuffix("_path") {
        kept[name] = withoutPaths(member)
      }
      return kept
    }
    var spec = withoutPaths(objectValue ?? [:])
    spec["version"] = nil
    return spec
  }
}

extension FailedSearch {
  var problem: Problem {
    Problem(kind: error["kind"]?.stringValue ?? state.rawValue, message: error["message"]?.stringValue ?? "")
  }
}

extension Snapshot {
  /// Of the models that are ready: what an expert may be made for.
  var signatures: [ModelSignature] { models.compactMap(\.signature) }

  /// Where there are more than are shown, those that were not simply accepted come first.
  var filesForStatus: [IngestRecord] {
    guard ingested.count > PageParameters.maximumRows else { return Array(ingested) }
    func isSettled(_ record: IngestRecord) -> Bool { record.state == .accepted || record.state == .duplicate }
    return ingested.filter { !isSettled($0) } + ingested.lazy.filter(isSettled).prefix(PageParameters.maximumRows)
  }

  /// How many dropped files are in each state.
  var fileCounts: SystemStatus.Files {
    var counts: [IngestState: Int] = [:]
    for record in ingested { counts[record.state, default: 0] += 1 }
    func count(_ state: IngestState) -> Int { counts[state] ?? 0 }
    return SystemStatus.Files(
      accepted: count(.accepted), duplicate: count(.duplicate), incomplete: count(.incomplete),
      rejected: count(.rejected), ignored: count(.ignored), waitingForModel: count(.waitingForModel))
  }

  var rejected: [IngestRecord] { ingested.filter(\.isRejected) }

  func experts(ofModel name: String) -> Int { activeExperts.count(ofModel: name) }

  /// A task with the state of its mixtures. `state` is that of its only or its worst pair.
  func row(of task: TaskRecord) -> TaskRow {
    let pairs = pairs(of: task)
    let order: [TaskState] = [.damaged, .failed, .running, .queued, .pending, .stale, .waitingForExperts, .ready]
    let worst = order.first { state in pairs.contains { $0.state == state } }
    return TaskRow(
      name: task.name, revision: task.current.revision, rows: task.current.rows, evalRows: task.current.evalRows,
      scoring: task.current.scoring, metric: task.current.metric, models: pairs.map(\.pair.model),
      state: damage(of: task) == nil ? worst ?? .waitingForModel : .damaged, job: pairs.compactMap(\.job).first,
      stale: pairs.contains { mixture($0.pair)?.staleReason != nil }, damaged: damage(of: task)?.cause)
  }

  struct PairStatus {
    var pair: Pair
    var state: TaskState
    var job: Int64?
  }

  func pairs(of task: TaskRecord) -> [PairStatus] {
    models(of: task).map { model in
      let pair = Pair(task: task.name, model: model.name)
      let live = searches(of: pair)
      let served = mixture(pair)
      let needed = inputs(of: task, on: model, options: standingOptions(pair))
      let state: TaskState
      if live.contains(where: { $0.state == .running }) {
        state = .running
      } else if !live.isEmpty {
        state = .queued
      } else if let served, damage(of: served) != nil {
        state = .damaged
      } else if let served, served.staleReason == nil {
        state = .ready
      } else if let needed, failure(of: pair, inputs: needed) != nil {
        state = .failed
      } else if served != nil {
        state = .stale
      } else {
        state = needed == nil ? .waitingForExperts : .pending
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

extension Page {
  mutating func rejected(
    list: Int, _ snapshot: Snapshot, _ directory: IngestRecord.Directory, _ paths: DaemonPaths
  ) throws(RPCError) -> [IngestRow] {
    let files = values(of: snapshot.ingested, list: list) { place in
      place.first.map { IngestRecord.Place(directory, $0) }
    }
    return try rows(
      list: list, of: files.lazy.filter { $0.directory == directory && $0.isRejected }, by: { [.name($0.file)] }
    ) { $0.row(directory: paths.directory(directory)) }
  }

  /// The first rows of a list that is not paged, and how many more there are.
  static func beginning<Element, Row: Encodable>(
    of elements: some Collection<Element>, _ row: (Element) -> Row
  ) -> (rows: [Row], leftOut: Int) {
    var page = Page(rows: PageParameters.maximumRows)
    let rows = (try? page.rows(of: elements, by: { _ in [] }) { (element) throws(RPCError) in row(element) }) ?? []
    return (rows, elements.count - rows.count)
  }
}
