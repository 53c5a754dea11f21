import Glibc
import RPCClient
import RPCProtocol
import ResultText
import StrictJSON
import SystemSupport

extension Verb {
  static let systemVerbs: [Verb] = [
    make(
      "status", methods: ["system.status"], "What runs, what is queued, what needs attention.",
      notes: "With the dropped files that were not simply accepted, each with its state and the reason."
    ) { invocation throws(ControlError) in
      invocation.answer(try invocation.call(SystemStatus.self)) { invocation.showStatus($0) }
    },
    make("methods", methods: ["system.methods"], "The methods of the protocol, with their parameters.") {
      invocation throws(ControlError) in
      invocation.answer(try invocation.call(SystemMethods.self)) { list in
        var table = Table(("METHOD", .left), ("ACCESS", .left), ("PARAMETERS", .left), ("SUMMARY", .left))
        for method in list.methods {
          let parameters = method.params.map { $0.name + ($0.required ? "" : "?") }
          table.add([method.name, method.access, parameters.joined(separator: " "), method.summary])
        }
        invocation.print(table, empty: "no methods")
      }
    },
    make(
      "events", [],
      [
        .flag("--follow", nil, "go on with each event as it comes"),
        .value("--after", "N", "after", "only events after this sequence number"),
        .value("--limit", "N", "limit"),
        .value("--kind", "K,...", "events", "only these kinds"),
      ],
      methods: ["events.subscribe"], "What happened; with --follow, what happens.",
      notes: "With --json one event a line. --follow ends with Ctrl-C, or after --timeout."
    ) { invocation throws(ControlError) in
      var params = try invocation.parameters(for: EventsSubscribe.self)
      let follows = invocation.command.has("--follow")
      params["follow"] = .bool(follows)
      try invocation.showPastEvents(params)
      guard follows else { return }
      let client = try invocation.client()
      let deadline = invocation.command.timeout.map { Deadline.after($0) } ?? .never
      while true {
        do throws(RPCClientError) {
          guard let event = try client.nextNotification(timeout: deadline.remaining) else { return }
          if event.method == "event" { invocation.showEvent(.object(event.params)) }
        } catch {
          throw .client(error)
        }
      }
    },
    make(
      "audit", methods: ["system.audit"], "Compare the store with the catalogue, by names and sizes.",
      notes:
        "Exits 5 where something is missing or damaged. Files that nothing names are no problem; gc removes them. "
        + "t2d fsck also compares contents, while no t2d runs."
    ) { invocation throws(ControlError) in
      let audit = try invocation.call(SystemAudit.self)
      invocation.answer(audit) { invocation.showAudit($0) }
      if !audit.ok { throw .bad("files of the store are missing or damaged; see t2d(8)") }
    },
    make(
      "gc", [], [.flag("--apply", "apply", "remove them")], methods: ["system.gc"],
      "Say what in the store nothing names any more; with --apply, remove it.",
      notes: "Only what nothing has named for the grace time, gc in t2d.conf(5)."
    ) { invocation throws(ControlError) in
      let params = try invocation.parameters(for: SystemGC.self)
      invocation.answer(try invocation.call(SystemGC.self, params)) { invocation.showGarbage($0) }
    },
    make(
      "backup", [.one("FILE")], methods: ["system.backup"],
      "Write the whole store into a new file, while t2d goes on.",
      notes:
        "FILE is there, whole, when this ends, or not at all; one that exists is never overwritten. It is a tar archive as of "
        + "one moment, from which 't2d restore' makes the store again, see t2d(8). Exits 5 where stored files are damaged, "
        + "which are named and are not in it."
    ) { invocation throws(ControlError) in try invocation.backUp() },
    make(
      "sync", methods: ["system.sync"], "Wait until all that lies in the watched directories has been seen.",
      notes: "When it ends, every file that was complete before it began is accepted or refused, with a reason."
    ) { invocation throws(ControlError) in
      let params: JSONObject
      if let timeout = invocation.command.timeout {
        params = ["timeout_ms": .integer(min(600_000, timeout.inNanoseconds / 1_000_000))]
      } else {
        params = [:]
      }
      invocation.answer(try invocation.call(SystemSync.self, params, timeout: .seconds(40))) { sync in
        invocation.console.print("generation \(sync.generation)")
        invocation.noteRejected(sync.rejected, leftOut: sync.rejectedLeftOut ?? 0)
      }
    },
  ]
}

extension Invocation {
  fileprivate func backUp() throws(ControlError) {
    let path = try absolutePath(argument(0))
    let file: NewFile
    do throws(SystemCallError) { file = try NewFile(at: path, mode: 0o600) } catch {
      throw Self.notCreated(error, path)
    }
    // However long it takes: whoever wants less says --timeout.
    let backup = try call(
      SystemBackup.self, ["path": .string(path)], passing: file.descriptor, timeout: .seconds(7 * 86_400))
    do throws(SystemCallError) { try file.publish() } catch { throw Self.notCreated(error, path) }
    answer(backup) { backup in
      console.print(
        "\(escaped(path)): \(backup.files) files, \(bytesText(Int64(backup.bytes))), as of event \(backup.event)")
      for damaged in backup.damaged {
        console.note(
          "damaged, and not in it: \(escaped(damaged.path)): \(escaped(damaged.subject)): \(escaped(damaged.message))")
      }
    }
    if !backup.damaged.isEmpty {
      throw .bad("the backup lacks \(backup.damaged.count) files that are damaged; see: t2ctl status")
    }
  }

  private static func notCreated(_ error: SystemCallError, _ path: String) -> ControlError {
    guard error.number == EEXIST else { return .file(error) }
    return .failed("'\(escaped(path))' exists, and a backup overwrites nothing; name another file, or remove it first")
  }

  fileprivate func showAudit(_ audit: SystemAudit.Result) {
    var table = Table(("FINDING", .left), ("WHAT", .left), ("BYTES", .right), ("PATH", .left), ("PROBLEM", .left))
    for finding in audit.findings {
      table.add([finding.kind, finding.subject, bytesText(Int64(finding.bytes)), finding.path, finding.message])
    }
    if !audit.findings.isEmpty { print(table, empty: "") }
    if audit.more > 0 { console.note("and \(audit.more) more") }
    let verdict = audit.ok ? ", nothing is missing or damaged" : ""
    console.note("\(audit.files) files of \(bytesText(Int64(audit.bytes))) compared\(verdict)")
  }

  fileprivate func showGarbage(_ garbage: SystemGC.Result) {
    if garbage.removals > 0 {
      console.print(
        garbage.applied
          ? "\(garbage.removals) removals cannot be undone any more"
          : "\(garbage.removals) removals could not be undone any more; see: t2ctl removal list")
    }
    for path in garbage.paths { console.print(escaped(path)) }
    if garbage.files > garbage.paths.count { console.note("and \(garbage.files - garbage.paths.count) more") }
    let size = "\(garbage.files) files of \(bytesText(Int64(garbage.bytes)))"
    console.note(garbage.applied ? "removed \(size)" : "\(size) would be removed; add --apply to remove them")
    if garbage.young > 0 { console.note("\(garbage.young) files that nothing names are younger than the grace time") }
  }

  /// Shows them page by page; after the last page the daemon sends what follows. With --limit, the first so many.
  fileprivate func showPastEvents(_ given: JSONObject) throws(ControlError) {
    var params = given
    var left = given["after"] == nil ? nil : given["limit"]?.intValue
    while true {
      let page = try call(EventsSubscribe.self, params)
      if let begins = page.historyBegins, let after = params["after"]?.integerValue {
        console.note("warning: what came after \(after) is not kept any more; the first event is \(begins)")
      }
      // Each has what its kind has, so it is shown as it came.
      let events = page.json["events"]?.arrayValue ?? []
      for event in events { showEvent(event) }
      guard let next = page.next else { return }
      if let all = left {
        left = all - events.count
        if all <= events.count { return }
        params["limit"] = JSONValue(all - events.count)
      }
      params["after"] = .integer(next)
    }
  }

  fileprivate func showEvent(_ event: JSONValue) {
    if command.json { return console.print(event.jsonText) }
    let shown: Set<String> = ["sequence", "time", "event"]
    let rest = (event.objectValue?.members ?? []).filter { !shown.contains($0.key) }
      .map { "\(escaped($0.key))=\(escaped($0.value.cell))" }
    let line = [event["sequence"].cell, event["time"].cell, event["event"].cell] + rest
    console.print(line.joined(separator: console.out.isTerminal ? "  " : "\t"))
  }

  fileprivate func showStatus(_ status: SystemStatus.Result) {
    func line(_ name: String, _ text: String) {
      console.print(name + String(repeating: " ", count: max(1, 12 - name.count)) + escaped(text))
    }
    line("t2d", "\(status.version), pid \(status.pid), up \(secondsText(status.uptimeSeconds))")
    line("memory", "\(bytesText(Int64(status.memoryBytes))), \(status.connections) connections")
    line("watching", "\(status.spool.experts) and \(status.spool.tasks)")
    line("models", "\(status.models)")
    line("experts", "\(status.experts)")
    line("tasks", "\(status.tasks)")
    line("mixtures", "\(status.mixtures)")
    let worker = status.worker
    var text = worker.state
    if let memory = worker.memoryBytes {
      text += ", \(bytesText(memory))"
      if let limit = worker.memoryLimitBytes { text += " of \(bytesText(limit))" }
    }
    if let kernel = worker.blas?.running { text += ", OpenBLAS kernel \(kernel)" }
    line("worker", text)
    if let held = worker.code?.protections, !held.isEmpty { line("code", "held by \(held.joined(separator: ", "))") }
    line("jobs", "\(status.jobs.running) running, \(status.jobs.queued) queued")
    for job in status.running {
      let name = "\(job.job) \(job.kind) \(job.task ?? job.model ?? "-") "
      let room = max(30, (console.out.columns ?? 80) - 12 - name.count)
      line(
        "",
        name
          + (console.out.isTerminal
            ? ProgressLine.text(job, columns: min(60, room), drawsBlocks: console.drawsBlocks)
            : ProgressLine.plain(job)))
    }
    showFiles(status, line)
    for warning in status.warnings {
      console.note(console.styledNote("warning: ", .yellow) + escaped(warning.message))
      if warning.code == "damaged" { console.note("  " + escaped(warning.help)) }
    }
    if let more = status.leftOut?.warnings, more > 0 { console.note("and \(more) more warnings") }
  }

  /// How many dropped files there are in each state, and below it those that need a look: what was refused first, then what
  /// waits, then what nobody will take. No list ends silently.
  private func showFiles(_ status: SystemStatus.Result, _ line: (String, String) -> Void) {
    let counts = status.files
    let states = [
      ("rejected", "refused", counts.rejected), ("incomplete", "incomplete", counts.incomplete),
      ("waiting_for_model", "waiting", counts.waitingForModel), ("ignored", "ignored", counts.ignored),
      ("duplicate", "duplicate", counts.duplicate), ("accepted", "accepted", counts.accepted),
    ]
    // A newer daemon may have others.
    let others = Set(status.ingest.map(\.state)).subtracting(states.map(\.0)).sorted().map { ($0, $0, 0) }
    let groups = (others + states).map { state, word, count in
      let files = status.ingest.filter { $0.state == state }
      return (word: word, count: max(count, files.count), files: files)
    }.filter { $0.count > 0 }
    guard !groups.isEmpty else { return }
    line("files", groups.reversed().map { "\($0.count) \($0.word)" }.joined(separator: ", "))
    let toSee = groups.filter { $0.word != "accepted" }
    let rows = toSee.flatMap { group in group.files.map { (group.word, $0) } }
    let shown = 20
    let width = rows.prefix(shown).map(\.0.count).max() ?? 0
    for (word, file) in rows.prefix(shown) {
      let padding = String(repeating: " ", count: width - word.count + 1)
      line("", word + padding + file.path + ": " + (file.message ?? file.kind ?? "-"))
    }
    let more = toSee.reduce(0) { $0 + $1.count } - min(shown, rows.count)
    if more > 0 { line("", "and \(more) more; see: t2ctl --json status") }
  }

  /// An object as `name  value` lines; nested objects are indented under their name.
  func showMembers(_ value: JSONValue, indentation: String = "") {
    guard let object = value.objectValue else { return console.print(indentation + escaped(value.cell)) }
    let width = object.members.map(\.key.count).max() ?? 0
    for (key, value) in object.members {
      let name = escaped(key)
      if let inner = value.objectValue, !inner.isEmpty {
        console.print(indentation + name)
        showMembers(value, indentation: indentation + "  ")
      } else if let items = value.arrayValue, items.contains(where: { $0.objectValue != nil }) {
        console.print(indentation + name)
        for item in items.prefix(100) {
          let parts = item.objectValue?.members.map { "\($0.key)=\($0.value.cell)" } ?? [item.cell]
          console.print(indentation + "  " + escaped(parts.joined(separator: "  ")))
        }
        if items.count > 100 { console.print(indentation + "  and \(items.count - 100) more (--json has them)") }
      } else {
        let padding = String(repeating: " ", count: max(1, width - name.count + 2))
        console.print(indentation + name + padding + escaped(value.cell))
      }
    }
  }
}
