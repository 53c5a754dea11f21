import RPCClient
import ResultText
import StrictJSON
import SystemSupport

extension Verb {
  static let systemVerbs: [Verb] = [
    make("status", methods: ["system.status"], "What runs, what is queued, what needs attention.") {
      invocation throws(ControlError) in
      let result = try invocation.call("system.status")
      invocation.answer(result) { invocation.showStatus(result) }
    },
    make("methods", methods: ["system.methods"], "The methods of the protocol, with their parameters.") {
      invocation throws(ControlError) in
      let result = try invocation.call("system.methods")
      invocation.answer(result) {
        var table = Table(("METHOD", .left), ("ACCESS", .left), ("PARAMETERS", .left), ("SUMMARY", .left))
        for method in result["methods"]?.arrayValue ?? [] {
          let parameters = (method["params"]?.arrayValue ?? []).map { parameter in
            (parameter["name"]?.stringValue ?? "") + (parameter["required"] == true ? "" : "?")
          }
          table.add([
            method["name"].cell, method["access"].cell, parameters.joined(separator: " "), method["summary"].cell,
          ])
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
      var params = try invocation.parameters(for: "events.subscribe")
      let follows = invocation.command.has("--follow")
      params["follow"] = .bool(follows)
      let result = try invocation.call("events.subscribe", params)
      for event in result["events"]?.arrayValue ?? [] { invocation.showEvent(event) }
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
      "sync", methods: ["system.sync"], "Wait until all that lies in the watched directories has been seen.",
      notes: "When it ends, every file that was complete before it began is accepted or refused, with a reason."
    ) { invocation throws(ControlError) in
      let params: JSONObject
      if let timeout = invocation.command.timeout {
        params = ["timeout_ms": .integer(min(600_000, timeout.inNanoseconds / 1_000_000))]
      } else {
        params = [:]
      }
      let result = try invocation.call("system.sync", params, timeout: .seconds(40))
      invocation.answer(result) {
        invocation.console.print("generation \(result["generation"].cell)")
        invocation.noteRejected(result)
      }
    },
  ]
}

extension Invocation {
  fileprivate func showEvent(_ event: JSONValue) {
    if command.json { return console.print(event.jsonText) }
    let shown: Set<String> = ["sequence", "time", "event"]
    let rest = (event.objectValue?.members ?? []).filter { !shown.contains($0.key) }
      .map { "\(escaped($0.key))=\(escaped($0.value.cell))" }
    let line = [event["sequence"].cell, event["time"].cell, event["event"].cell] + rest
    console.print(line.joined(separator: console.out.isTerminal ? "  " : "\t"))
  }

  /// Files that were refused, on standard error: they are no part of a list.
  func noteRejected(_ result: JSONValue) {
    for file in result["rejected"]?.arrayValue ?? [] {
      console.note("refused: \(escaped(file["path"].cell)): \(escaped(file["message"].cell))")
    }
  }

  fileprivate func showStatus(_ status: JSONValue) {
    func line(_ name: String, _ text: String) {
      console.print(name + String(repeating: " ", count: max(1, 12 - name.count)) + escaped(text))
    }
    func count(_ key: String) -> String {
      let value = status[key]
      return (value?.arrayValue.map { .integer(Int64($0.count)) } ?? value).cell
    }
    let uptime = status["uptime_seconds"]?.doubleValue.map { ", up \(secondsText($0))" } ?? ""
    line("t2d", "\(status["version"].cell), pid \(status["pid"].cell)\(uptime)")
    if let memory = status["memory_bytes"]?.integerValue {
      line("memory", "\(bytesText(memory)), \(count("connections")) connections")
    }
    if let spool = status["spool"] { line("watching", "\(spool["experts"].cell) and \(spool["tasks"].cell)") }
    line("models", count("models"))
    line("experts", count("experts"))
    line("tasks", count("tasks"))
    line("mixtures", count("mixtures"))
    if let worker = status["worker"] {
      var text = worker["state"].cell
      if let memory = worker["memory_bytes"]?.integerValue {
        text += ", \(bytesText(memory))"
        if let limit = worker["memory_limit_bytes"]?.integerValue { text += " of \(bytesText(limit))" }
      }
      if let kernel = worker["blas"]?["running"]?.stringValue { text += ", OpenBLAS kernel \(kernel)" }
      line("worker", text)
      if let held = worker["code"]?["protections"]?.arrayValue, !held.isEmpty {
        line("code", "held by \(held.map(\.cell).joined(separator: ", "))")
      }
    }
    if let jobs = status["jobs"] { line("jobs", "\(jobs["running"].cell) running, \(jobs["queued"].cell) queued") }
    for job in status["running"]?.arrayValue ?? [] {
      let name = "\(job["job"].cell) \(job["kind"].cell) \((job["task"] ?? job["model"]).cell) "
      let room = max(30, (console.out.columns ?? 80) - 12 - name.count)
      line(
        "",
        name
          + (console.out.isTerminal
            ? ProgressLine.text(job, columns: min(60, room), drawsBlocks: console.drawsBlocks)
            : ProgressLine.plain(job)))
    }
    for warning in status["warnings"]?.arrayValue ?? [] {
      console.note(console.styledNote("warning: ", .yellow) + escaped(warning["message"]?.stringValue ?? warning.cell))
    }
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
