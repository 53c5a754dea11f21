import Digests
import Experts
import Records
import Registry
import Results
import Settings
import StrictJSON
import SystemSupport
import WorkerProtocol

/// Trained experts: made by the worker in the staging directory, and taken in by the rules that hold for dropped files.
/// They do not pass through the watched directory, which is the user's and in which t2d never writes; `t2ctl expert
/// export` gives their file.
extension Coordinator {
  @discardableResult
  func train(
    _ name: String, label: String?, _ plan: TrainingPlan, _ settings: TrainingSettings, isEstimate: Bool,
    partner: TaskRecord?, on model: ModelRecord, who: String
  ) throws(RegistryError) -> Int64 {
    let lesson: TrainSpec.Lesson
    if let dispatch = plan.dispatch {
      lesson = .dispatch(
        .init(
          labels: dispatch.names, template: dispatch.template, templateSource: dispatch.templateSource,
          sources: plan.sources.map { .init(label: $0.label ?? DispatchSpec.other, task: reference($0.task)) }))
    } else {
      lesson = .task(reference(plan.sources[0].task))
    }
    // The same training again, after a full disk or a cancellation, goes on from the state that it left.
    let partner = partner.map { reference($0) }
    let what = [
      reference(model).digest, RecordWriter.json(settings).jsonText, lesson.json.jsonText,
      partner.map { TrainSpec.Lesson.task($0).json.jsonText } ?? "",
    ].joined(separator: "\n")
    let digest = SHA256.digest(Array(what.utf8))
    let spec = TrainSpec(
      model: reference(model), name: name, label: label, lesson: lesson, settings: settings,
      expertPath: store.stagingPath("trained"),
      statePath: "\(store.trainings)/\(digest.hex.prefix(32)).safetensors", isEstimate: isEstimate, partner: partner)
    let key = [TrainSpec.kind.name, name, label ?? "", digest.hex, isEstimate ? "estimate" : ""].joined(separator: "\0")
    return try jobs.submit(
      JobRecord(
        spec, key: key, target: "\(TrainSpec.kind)\0\(name)", priority: JobQueue.yieldingPriority,
        task: plan.dispatch == nil ? plan.sources[0].task.name : nil, model: model.name, who: who,
        reason: "train.start", created: .now))
  }

  /// Makes what a training has made the next version of its name, and returns what the job shows of it.
  fileprivate func trained(_ job: JobRecord, _ spec: TrainSpec, _ result: TrainResult) throws -> TrainResult {
    guard !spec.isEstimate else { return result }
    guard spec.settings.method == .svf else {
      removeStates(of: spec)
      return result
    }
    let (bytes, content) = try store.read(staged: spec.expertPath, maximumBytes: ExpertFile.maximumBytes)
    let expert: ValidatedExpert
    do throws(Refusal) {
      expert = try validate(bytes, file: spec.name + ".safetensors")
    } catch {
      // Trained again it would be refused again.
      removeStates(of: spec)
      throw RegistryError.conflict("the trained expert is refused: \(error.message)")
    }
    guard case .expert(let training, _) = result else {
      throw RegistryError.conflict("the job's result is not that of an expert's training")
    }
    let before = snapshot.expert(expert.name)?.active
    let (blob, replaced) = try publish(content)
    var trained = version(expert, source: "job \(job.id)", who: job.who)
    trained.blob = blob
    let stored = trained
    let version = try writer.change { () throws(RegistryError) -> Int in
      try noteWhole(blob, inPlaceOf: replaced, from: "job \(job.id)")
      // A training that ends a second time, or was asked for twice, has the same bits.
      if let known = try known(stored) { return known }
      return try addVersion(stored, details: expert.details)
    }
    removeStates(of: spec)
    let state = snapshot.expert(expert.name)?.version(version)?.state.rawValue ?? ""
    let made = TrainedVersion(name: expert.name, version: version, previous: before, state: state)
    return .expert(training, made)
  }

  // MARK: - States

  /// A state that nobody came back for in this time is given up.
  static let stateLifetime: Duration = .seconds(7 * 24 * 3600)

  /// Removes states that are older than that, unless their training waits or runs. At each start of the daemon and at
  /// the end of each job: a daemon may run for months without another training.
  func collectTrainingStates(now: Timestamp) {
    let old = statePaths().filter { path in
      guard let modified = (try? FileSystem.status(path))??.identity.modifiedNanoseconds else { return false }
      return Duration.milliseconds(now.milliseconds - modified / 1_000_000) > Self.stateLifetime
    }
    guard !old.isEmpty else { return }
    let live = jobs.liveJobs.compactMap { id in
      (try? catalogue.job(id))?.spec(as: TrainSpec.self)?.statePath
    }
    for path in old where !live.contains(where: { path.hasPrefix($0) }) {
      log.info("the state of a training is dropped", ["path": path])
      _ = try? FileSystem.remove(path)
    }
  }

  /// One for each weight that was tried: the first has the path, and others a number behind it.
  fileprivate func removeStates(of spec: TrainSpec) {
    for path in statePaths() where path.hasPrefix(spec.statePath) { _ = try? FileSystem.remove(path) }
  }

  private func statePaths() -> [String] {
    ((try? FileSystem.entries(store.trainings)) ?? []).compactMap { $0.text.map { "\(store.trainings)/\($0)" } }
  }
}

extension TrainSpec: HandledJob {
  func finished(_ job: JobRecord, _ result: TrainResult, on coordinator: Coordinator) throws -> JSONValue {
    RecordWriter.json(try coordinator.trained(job, self, result))
  }

  func ended() { _ = try? FileSystem.remove(expertPath) }

  /// A training that failed for good would come to the same end if it were asked for again, so its state is of no use.
  /// After a full disk, or cancelled, it goes on from there.
  func failed(_ job: JobRecord, _ fault: WorkerFault, on coordinator: Coordinator) {
    if fault.kind == .failed, !isEstimate { coordinator.removeStates(of: self) }
  }

  /// The learning curve, of which a training's journal consists.
  static func remains(of job: JobRecord, on coordinator: Coordinator) throws(RegistryError) -> JSONValue? {
    let points = try coordinator.catalogue.journal(job.id)
    return points.isEmpty ? nil : ["curve": .array(points)]
  }
}
