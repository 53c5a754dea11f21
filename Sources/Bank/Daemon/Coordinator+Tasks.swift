import Evaluation
import Glibc
import Registry
import Settings
import StrictJSON
import SystemSupport
import Watcher

extension Coordinator {
  /// Copies a dropped task, checks what was copied, and makes it the task's next revision.
  func takeTask(_ item: DropItem, identity: String) throws(Refusal) {
    let name = TaskFileName.task(ofPath: item.name)
    let staged = store.stagingPath("task")
    defer { _ = try? FileSystem.removeTree(staged) }
    let task: TaskDefinition
    let files = try stage(item.name, isDirectory: item.isDirectory, in: item.directory, to: staged)
    do throws(TaskFileError) {
      task = try TaskDefinition(name: name, files: files)
    } catch {
      if let sign = UnfinishedRows.sign(in: files) {
        throw Refusal(.incomplete, kind: "incomplete", "\(error.description); \(sign)", outcome: .incomplete)
      }
      throw Refusal(kind: "bad_task", error.description)
    }
    try checkOtherForm(of: name, item)
    do throws(RegistryError) {
      try accept(task, files, staged: staged, file: item.name, identity: identity)
    } catch {
      throw Refusal(error)
    }
  }

  /// A task comes from one file or directory: two, such as `NAME.jsonl` and `NAME/`, would change places with every scan. The
  /// one that it came from stays, as long as it is there; the watcher tries the other again when it is gone.
  private func checkOtherForm(of name: String, _ item: DropItem) throws(Refusal) {
    guard let source = snapshot.task(name)?.current.source, source != item.name else { return }
    let other: FileStatus?
    do throws(SystemCallError) {
      other = try FileSystem.status(source, in: item.directory)
    } catch {
      throw Refusal(error)
    }
    guard other?.kind == .regular || other?.kind == .directory else { return }
    throw Refusal(
      kind: "two_forms",
      "'\(source)' is there too and is the task '\(name)' already; remove one of the two, or rename it")
  }

  /// Makes a private, durable copy of the file, or of those files of the directory that make a task, and returns what was
  /// copied.
  func stage(
    _ item: String, isDirectory: Bool, in parent: FileDescriptor, to staged: String
  ) throws(Refusal) -> TaskDefinition.Files {
    try inStore { () throws(SystemCallError) in try FileSystem.createDirectories(staged, mode: 0o700) }
    guard isDirectory else {
      let bytes = try copy(item, from: parent, to: staged)
      return TaskDefinition.Files(fewshot: .init(name: item, bytes: bytes))
    }
    do throws(StagingError) { try checkDownload(item, in: parent) } catch { throw Refusal(error) }
    let place = staged + "/" + item
    try inStore { () throws(SystemCallError) in try FileSystem.createDirectories(place, mode: 0o700) }
    let (directory, names) = try list(item, in: parent)
    var contents: [String: [UInt8]] = [:]
    for name in names where TaskFileName.isPart(name) {
      contents[name] = try copy(name, from: directory, to: place)
    }
    do throws(TaskFileError) {
      return try TaskFile.files(ofDirectory: item, names: names) { contents[$0] ?? [] }
    } catch {
      throw Refusal(kind: "bad_task", error.description)
    }
  }

  /// A dropped directory, and the names in it that are not hidden, in order.
  private func list(
    _ item: String, in parent: FileDescriptor
  ) throws(Refusal) -> (FileDescriptor, names: [String]) {
    do throws(SystemCallError) {
      let directory = try FileDescriptor.open(item, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, in: parent)
      let entries = try FileSystem.entries(in: directory, path: item, limit: 256)
      return (directory, entries.compactMap(\.text).filter { !$0.hasPrefix(".") }.sorted())
    } catch {
      throw Refusal(error)
    }
  }

  private func copy(_ name: String, from directory: FileDescriptor, to place: String) throws(Refusal) -> [UInt8] {
    let dropped = try DroppedFile(
      copying: name, from: directory, into: store.staging,
      maximumBytes: min(configuration.maximumTaskBytes, TaskFile.maximumBytes), isDurable: true)
    try inStore { () throws(SystemCallError) in
      try FileSystem.rename(dropped.copy.path, to: place + "/" + name)
    }
    _ = dropped.copy.relinquish()
    return dropped.bytes
  }

  private func inStore(_ body: () throws(SystemCallError) -> Void) throws(Refusal) {
    do throws(SystemCallError) { try body() } catch { throw Refusal(.files(error)) }
  }

  private func accept(
    _ task: TaskDefinition, _ files: TaskDefinition.Files, staged: String, file: String, identity: String
  ) throws(RegistryError) {
    let digest = task.digest.description
    var record = IngestRecord(
      directory: .tasks, file: file, state: .accepted, warnings: task.warnings, subject: task.name,
      identity: identity, time: .now)
    if let known = snapshot.task(task.name), known.current.digest == digest {
      record.version = known.current.revision
      if known.current.source != file {
        record.state = .duplicate
        record.kind = "duplicate"
        record.message = "the same content as revision \(known.current.revision)"
      }
      if let problem = try heal(known, files, staged: staged, file: file) {
        record.kind = "healed"
        record.message = "it took the place of the copy of '\(task.name)', which was damaged: \(problem)"
      }
      let stored = record
      return try writer.change { () throws(RegistryError) in try catalogue.store(stored) }
    }

    if try catalogue.digest(ofTask: task.name) == digest,
      let message = try stillRemoved(.task(task.name), .tasks, file: file, identity: identity)
    {
      (record.state, record.kind, record.message) = (.ignored, Self.removedKind, message)
      let stored = record
      return try writer.change { () throws(RegistryError) in try catalogue.store(stored) }
    }

    let place = "\(store.tasks)/\(task.name)/\(task.digest.hex.prefix(16))"
    if try !catalogue.isTaskPathKnown(place + "/" + file) { try store.publishTask(staged: staged, as: place) }
    let stored = TaskRevision(task, files, path: place + "/" + file, source: file, added: .now)
    let number = try writer.change { () throws(RegistryError) -> Int in
      let number = try catalogue.addRevision(stored)
      try catalogue.record(
        "task.revision", task.name,
        [
          "revision": JSONValue(number), "rows": JSONValue(task.shots.count), "eval_rows": JSONValue(task.eval.count),
          "digest": .string(digest), "file": .string(file),
        ], now: .now)
      record.version = number
      try catalogue.store(record)
      return number
    }
    log.info("task", ["name": task.name, "revision": number, "rows": task.shots.count, "file": file])
  }
}

extension Coordinator {
  /// Puts dropped files with the content of a task's revision into the place of its copy, where that is damaged; returns
  /// how it was.
  private func heal(
    _ task: TaskRecord, _ files: TaskDefinition.Files, staged: String, file: String
  ) throws(RegistryError) -> String? {
    guard let problem = try problem(of: task) else {
      if snapshot.damage(of: task) != nil { suspect(task.current.file) }
      return nil
    }
    try replaceCopy(of: task, staged: staged, file: file, files: files)
    return problem
  }
}

extension TaskRevision {
  /// What the catalogue keeps of a task; its number comes when it is stored.
  init(_ task: TaskDefinition, _ files: TaskDefinition.Files, path: String, source: String, added: Timestamp) {
    self.init(
      task: task.name, revision: 0, digest: task.digest.description, path: path, rows: task.shots.count,
      evalRows: task.eval.count, trainRows: task.train.count, scoring: task.scoring,
      metric: task.metric.rawValue, template: task.templateName, settings: .object(task.settings.stored),
      warnings: task.warnings, source: source, added: added)
    self.files = files.references
    reading = task.reading.rawValue
  }

  /// By which its rows are read. Of rules that only a newer t2d has nothing is known, and its catalogue is not opened.
  var rowReading: RowReading { RowReading(rawValue: reading) ?? .current }
}

extension TaskSettings {
  /// What the daemon must know without reading the task's files again.
  fileprivate var stored: JSONObject {
    var object: JSONObject = ["search": .object(search.givenMembers)]
    if let model { object["model"] = .string(model) }
    if let experts { object["experts"] = JSONValue(experts.items) }
    if let description { object["description"] = .string(description) }
    return object
  }
}
