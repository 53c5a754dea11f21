import Settings
import CLinux
import Glibc
import RPCClient
import RPCProtocol
import ResultText
import Results
import StrictJSON
import SystemSupport

extension Verb {
  static let taskVerbs: [Verb] = [
    make(
      "task register", [.one("NAME"), .several("FILE")],
      [.value("--model", "M", "model", "the only model to adapt it on")],
      methods: ["system.hello", "system.sync", "task.list", "task.register", "task.show", "job.wait"],
      "Put a task's files into the watched directory, and adapt it.",
      notes: "One .jsonl file becomes NAME.jsonl. Several become the directory NAME; they are called fewshot.jsonl, "
        + "eval.jsonl, train.jsonl and task.json5, and a first one of another name is the few-shot file; .ndjson, .json, "
        + ".csv and .tsv are read as well. One directory is copied as it is. Waits for the adaptation that follows."
    ) { invocation throws(ControlError) in try invocation.registerTask() },
    make("task list", [], [limit], methods: ["task.list"], "The tasks and the state of their mixtures.") {
      invocation throws(ControlError) in
      invocation.answer(try invocation.list(TaskList.self, try invocation.parameters(for: TaskList.self))) { list in
        var table = Table(
          ("NAME", .left), ("STATE", .left), ("ROWS", .right), ("EVAL", .right), ("METRIC", .left), ("MODELS", .left),
          ("JOB", .right))
        for task in list.tasks {
          table.add([
            task.name, task.state.rawValue + (task.stale ? " (stale)" : ""), "\(task.rows)", "\(task.evalRows)",
            task.metric,
            task.models.joined(separator: ", "), cell(task.job),
          ])
        }
        invocation.print(table, empty: "no tasks; register one with: t2ctl task register NAME FILE.jsonl")
        invocation.noteRejected(list.rejected)
      }
    },
    make("task show", [.one("NAME", "task")], methods: ["task.show"], "One task.") { invocation throws(ControlError) in
      let task = try invocation.call(TaskShow.self, try invocation.parameters(for: TaskShow.self))
      invocation.answer(task) { _ in invocation.showMembers(task.json) }
    },
    make(
      "task verify", [.one("FILE")],
      [.value("--settings", "FILE", nil, "task.json5 by whose settings it is read; default the one beside it")],
      methods: ["task.verify"],
      "Read a file of rows, or those of a directory, by every rule, and store nothing.",
      notes: "Shows what a model is asked for the first row. Ends with status 5 where the file is refused."
    ) { invocation throws(ControlError) in try invocation.verifyTask() },
    make(
      "task adapt", [.one("NAME", "task")],
      Option.all(of: TaskAdapt.self, but: ["task"]),
      methods: ["task.adapt", "mixture.get", "job.wait"], "Search the best mixture of the experts for a task.",
      notes: "Prints the mixture that it found. The search goes on where Ctrl-C ends the waiting.",
      glossaries: [searchMethods]
    ) { invocation throws(ControlError) in
      let started = try invocation.call(TaskAdapt.self, try invocation.parameters(for: TaskAdapt.self))
      guard let job = try invocation.jobToWaitFor(started.job) else {
        return invocation.answer(started) { invocation.console.print("job \($0.job)") }
      }
      if invocation.command.json { return invocation.console.print((job["result"] ?? job).jsonText) }
      invocation.showMixture(
        try invocation.mixture(["task": .string(started.task), "model": .string(started.model)]).value)
      invocation.showSearch(try invocation.read(job["result"] ?? .null, as: Mixture.self, of: "job.wait").search)
    },
    make(
      "task remove", [.one("NAME", "task")], removing, methods: ["task.remove"],
      "Take a task away, with its mixtures.", notes: removingNotes
    ) { invocation throws(ControlError) in try invocation.remove(TaskRemove.self) },
    make(
      "task wait", [.one("NAME", "task")], [model], methods: ["mixture.get", "task.show", "job.wait"],
      "Wait until the mixture of a task is up to date.",
      notes: "Where the task waits for experts or has no search yet, it waits for them too; --timeout bounds it."
    ) { invocation throws(ControlError) in
      let mixture = try invocation.waitForMixture(try invocation.parameters(for: MixtureGet.self))
      invocation.answer(mixture) { mixture in
        invocation.console.note("\(escaped(mixture.task)) is up to date (generation \(mixture.generation))")
      }
    },
  ]
}

extension Invocation {
  /// Waits until `mixture.get` answers with a mixture that is not stale, showing the search on the way.
  func waitForMixture(_ params: JSONObject) throws(ControlError) -> Answer<MixtureGet.Served> {
    let deadline = command.timeout.map { Deadline.after($0) } ?? .never
    let interrupts = try? SignalDescriptor([SIGINT])
    var seenJobs: Set<Int64> = []
    var saidWaiting = false
    while true {
      var job: Int64?
      var state: TaskState?
      do {
        let mixture = try mixture(params)
        if !mixture.stale { return mixture }
      } catch {
        guard case .client(.refused(let refusal)) = error,
          [RPCErrorCode.noMixtureYet.kind, RPCErrorCode.waitingForExperts.kind].contains(refusal.kind)
        else { throw error }
        job = refusal.details["job"]?.integerValue
        if refusal.kind == RPCErrorCode.waitingForExperts.kind { state = .waitingForExperts }
      }
      if job == nil {
        let task = try call(TaskShow.self, ["task": params["task"] ?? .null])
        job = task.row.job
        state = task.row.state
        if state == .failed {
          throw .failed("the search for '\(escaped(task.row.name))' failed: \(escaped(task.error?.message ?? "-"))")
        }
      }
      if let job, seenJobs.insert(job).inserted {
        do throws(ControlError) {
          _ = try waitForJob(job)
        } catch {
          // A search whose inputs changed is cancelled for the next one, and a failed one is the task's own state: what
          // holds is asked again.
          guard case .failed = error else { throw error }
        }
        continue
      }
      if !saidWaiting, state == .waitingForExperts || state == .waitingForModel {
        saidWaiting = true
        console.note(
          state == .waitingForExperts
            ? "the task waits until an expert of its model is active" : "the task waits for its model")
      }
      if (try? interrupts?.next()) ?? nil != nil { throw .interrupted("nothing was stopped; what is queued goes on") }
      if deadline.hasPassed { throw .timedOut("the task has no mixture that is up to date yet") }
      // Between a file's arrival and its search lies the daemon's pause for further files.
      usleep(100_000)
    }
  }

  fileprivate func verifyTask() throws(ControlError) {
    let paths = try filesOfRows(argument(0))
    var refused: [String] = []
    for path in paths where try !isGood(path) { refused.append(escaped(path)) }
    guard refused.isEmpty else { throw .bad("\(refused.joined(separator: ", ")): refused") }
    if paths.count > 1 { console.note("that no row stands in two of them is looked at when the directory is dropped") }
  }

  /// The file, or those of a task's directory.
  private func filesOfRows(_ path: String) throws(ControlError) -> [String] {
    do throws(SystemCallError) {
      guard try FileSystem.status(path, followingLinks: true)?.kind == .directory else { return [path] }
      let names = try FileSystem.entries(path).compactMap(\.text).filter { TaskFileName.part($0) != nil }
      if !names.isEmpty { return names.sorted().map { path + "/" + $0 } }
    } catch {
      throw .file(error)
    }
    throw .bad("\(escaped(path)): there is no \(TaskFileName.Part.fewshot)\(TaskFileName.rowEndings[0]) in it")
  }

  private func isGood(_ path: String) throws(ControlError) -> Bool {
    let verdict = try call(TaskVerify.self, try settings(beside: path), reading: path)
    let file = escaped(path)
    answer(verdict) { verdict in
      for warning in verdict.warnings { console.note("warning: \(escaped(warning))") }
      guard verdict.ok else { return }
      console.print(
        "\(file): good: \(verdict.rows ?? 0) rows, metric \(escaped(verdict.metric ?? "-")), prompt "
          + "\(escaped(JSONValue.string(verdict.template ?? "").jsonText))")
      console.print("the first row asks:")
      for line in (verdict.prompt ?? "").split(separator: "\n", omittingEmptySubsequences: false) {
        console.print("  " + escaped(String(line)))
      }
      for text in verdict.continuations ?? [] { console.print("  \(escaped(JSONValue.string(text).jsonText))") }
    }
    if !verdict.ok, !command.json {
      for error in verdict.errors { console.note(escaped(error)) }
      if let more = verdict.more { console.note("and \(more) more") }
    }
    return verdict.ok
  }

  /// The parameters of `task.verify`, with the settings that the file's directory has for it.
  private func settings(beside path: String) throws(ControlError) -> JSONObject {
    var params: JSONObject = ["path": .string(path)]
    let (directory, name) = FileSystem.split(path)
    do throws(SystemCallError) {
      var file = command.value("--settings")
      let near = directory + "/" + TaskFileName.settings
      if file == nil, TaskFileName.isPart(name), try FileSystem.status(near, followingLinks: true) != nil {
        file = near
      }
      if let file {
        params["settings"] = .string(
          String(decoding: try FileSystem.readAll(file, maximumBytes: 1 << 20), as: UTF8.self))
      }
    } catch {
      throw .file(error)
    }
    return params
  }

  fileprivate func registerTask() throws(ControlError) {
    let name = argument(0)
    guard !name.isEmpty, !name.contains("/"), !name.hasPrefix("."), TaskFileName.rowEnding(of: name) == nil else {
      throw .usage("NAME must be a name, and is '\(escaped(name))'", hint: "it has no '/', no leading '.', no ending")
    }
    let files = Array(command.arguments.dropFirst())
    let contents = try taskFiles(files)
    let spool = try spool().tasks
    do throws(SystemCallError) {
      if contents.count == 1, let only = contents.first, let ending = TaskFileName.rowEnding(of: only.name) {
        try FileSystem.writeAtomically("\(spool)/\(name)\(ending)", only.bytes, mode: 0o644)
      } else {
        try putDirectory(contents, at: spool, name: name)
      }
    } catch {
      throw .file(error)
    }
    let sync = try call(SystemSync.self, [:], timeout: .seconds(40))
    for refused in sync.rejected + (try list(TaskList.self)).rejected {
      let parts = refused.path.split(separator: "/").map(String.init)
      if parts.contains(name) || parts.last.map({ TaskFileName.task(ofPath: $0) }) == name {
        throw .bad("\(escaped(refused.path)): \(escaped(refused.message ?? "-"))")
      }
    }
    var params: JSONObject = ["task": .string(name)]
    params["model"] = command.value("--model").map { .string($0) }
    let task = try call(TaskRegister.self, params)
    for warning in try call(TaskShow.self, ["task": .string(name)]).warnings {
      console.note("warning: \(escaped(warning))")
    }
    guard command.waits, task.row.job != nil else {
      return answer(task) { console.print("\(escaped(name)): \($0.row.rows) rows, \($0.row.state.rawValue)") }
    }
    let mixture = try waitForMixture(params)
    answer(mixture) { showMixture($0) }
  }

  /// What the directory of the task will hold, read before anything is written.
  private func taskFiles(_ paths: [String]) throws(ControlError) -> [(name: String, bytes: [UInt8])] {
    var files: [(name: String, bytes: [UInt8])] = []
    do throws(SystemCallError) {
      if paths.count == 1, try FileSystem.status(paths[0], followingLinks: true)?.kind == .directory {
        for name in try FileSystem.entries(paths[0]).compactMap(\.text).sorted() where TaskFileName.isPart(name) {
          files.append((name, try FileSystem.readAll("\(paths[0])/\(name)", maximumBytes: 64 << 20)))
        }
      } else {
        for (index, path) in paths.enumerated() {
          let last = FileSystem.split(path).name
          let ending = TaskFileName.rowEnding(of: last) ?? ".jsonl"
          let name = TaskFileName.isPart(last) ? last : TaskFileName.Part.fewshot.rawValue + ending
          guard name == last || index == 0 else { continue }
          files.append((name, try FileSystem.readAll(path, maximumBytes: 64 << 20)))
        }
      }
    } catch {
      throw .file(error)
    }
    if paths.count > 1, files.count != paths.count || Set(files.map(\.name)).count != files.count {
      throw .usage(
        "of several files only the first may have a name of its own",
        hint: "the others are called eval.jsonl, train.jsonl and task.json5")
    }
    guard files.contains(where: { TaskFileName.part($0.name) == .fewshot }) else {
      throw .bad("\(escaped(paths.joined(separator: ", "))): there is no fewshot.jsonl")
    }
    return files
  }

  /// Makes the directory beside its place and then swaps it in, so that no mixture of two revisions is ever seen.
  private func putDirectory(
    _ files: [(name: String, bytes: [UInt8])], at spool: String, name: String
  ) throws(SystemCallError) {
    let temporary = "\(spool)/.\(name).\(String(UInt64.random(in: 0 ... .max), radix: 36)).part"
    let target = "\(spool)/\(name)"
    try FileSystem.createDirectories(temporary)
    do throws(SystemCallError) {
      for file in files { try FileSystem.writeAtomically("\(temporary)/\(file.name)", file.bytes, mode: 0o644) }
      if try FileSystem.status(target) != nil {
        try systemCall("put the task at", target) { unsafe t2_rename_exchange(AT_FDCWD, temporary, AT_FDCWD, target) }
        try FileSystem.removeTree(temporary)
      } else {
        try FileSystem.rename(temporary, to: target)
      }
    } catch {
      try? FileSystem.removeTree(temporary)
      throw error
    }
  }
}
