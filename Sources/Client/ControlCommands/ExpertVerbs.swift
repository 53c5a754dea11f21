import Experts
import ModelFormats
import RPCClient
import RPCProtocol
import ResultText
import StrictJSON
import SystemSupport

extension Verb {
  private static let reason = Option.value("--reason", "TEXT", "reason", "why, for the journal")

  static let expertVerbs: [Verb] = [
    make(
      "expert register", [.one("FILE")],
      [
        .value("--name", "N", nil, "call it so, whatever the file says"),
        .value("--label", "L", nil, "the category that requests are dispatched by"),
      ],
      methods: ["system.hello", "system.sync", "expert.list"], "Put an expert file into the watched directory.",
      notes:
        "FILE may be the index of an expert in parts, NAME.safetensors.index.json: then what lies beside it is joined "
        + "into one file. The file is copied under another name first and then renamed, so that the daemon never meets half of it. "
        + "Prints the version that it became."
    ) { invocation throws(ControlError) in try invocation.registerExpert() },
    make(
      "expert import", [.one("FILE.pt")],
      [
        .value("--model", "M", "name", "the base that it was trained on; the file does not say"),
        .value("--name", "N", nil, "what to call it; default: the file's name"),
        .value("--label", "L", nil, "the category that requests are dispatched by"),
      ],
      methods: ["model.show", "system.hello", "system.sync", "expert.list"],
      "Make an expert of a file of the paper's reference code, and register it.",
      notes:
        "FILE.pt is a policy_params.pt or learnable_params.pt that torch.save wrote. It is read here, as data: what its "
        + "pickle would execute is refused by name."
    ) { invocation throws(ControlError) in try invocation.importExpert() },
    make(
      "expert list", [],
      [
        .value("--model", "M", "model"),
        .flag("--all", "all"),
        limit,
      ],
      methods: ["expert.list"], "The experts with their versions."
    ) { invocation throws(ControlError) in
      let list = try invocation.list(ExpertList.self, try invocation.parameters(for: ExpertList.self))
      invocation.answer(list) { list in
        var table = Table(
          ("NAME", .left), ("VERSION", .right), ("ACTIVE", .right), ("STATE", .left), ("LABEL", .left),
          ("MODEL", .left),
          ("ADDED", .left))
        for expert in list.experts {
          table.add([
            expert.name, "\(expert.version)", cell(expert.active),
            expert.state + (expert.damaged == nil ? "" : " (damaged)"), expert.label ?? "-", expert.model,
            expert.added,
          ])
        }
        invocation.print(table, empty: "no experts; register one with: t2ctl expert register FILE")
        invocation.noteWarnings(of: list.experts)
        invocation.noteRejected(list.rejected)
      }
    },
    make("expert show", [.one("NAME[@V]", "expert")], methods: ["expert.show"], "One version of an expert.") {
      invocation throws(ControlError) in
      let expert = try invocation.call(ExpertShow.self, try invocation.parameters(for: ExpertShow.self))
      invocation.answer(expert) { value in
        var shown = expert.json.objectValue ?? [:]
        var checks = JSONObject()
        for check in value.checks { checks["\(check.check)"] = .string(shortCheck(check)) }
        shown["checks"] = .object(checks)
        invocation.showMembers(.object(shown))
      }
    },
    make(
      "expert log", [.one("NAME", "expert")], [newest],
      methods: ["expert.log"], "What happened to an expert."
    ) { invocation throws(ControlError) in
      let log = try invocation.list(
        ExpertLog.self, try invocation.parameters(for: ExpertLog.self), standard: Verb.newestRows)
      invocation.answer(log) { log in
        var table = Table(
          ("TIME", .left), ("EVENT", .left), ("VERSION", .right), ("FROM", .right), ("TO", .right), ("WHO", .left),
          ("REASON", .left))
        for event in log.events {
          table.add([
            event.time, event.event, cell(event.version), cell(event.from), cell(event.to), event.who ?? "-",
            event.reason ?? "-",
          ])
        }
        invocation.print(table, empty: "nothing happened to it")
      }
    },
    make(
      "expert verify", [.one("FILE")], [model], methods: ["expert.verify"],
      "Read an expert file by every rule, and store nothing.", notes: "Ends with status 5 where the file is refused."
    ) { invocation throws(ControlError) in
      let verdict = try invocation.call(
        ExpertVerify.self, try invocation.parameters(for: ExpertVerify.self), reading: invocation.argument(0))
      let file = escaped(invocation.argument(0))
      invocation.answer(verdict) { verdict in
        for warning in verdict.warnings { invocation.console.note("warning: \(escaped(warning))") }
        if verdict.ok {
          invocation.console.print(
            "\(file): good: \(escaped(verdict.name ?? "-")) for \(escaped(verdict.model ?? "-"))")
        }
      }
      if !verdict.ok { throw .bad("\(file): \(escaped(verdict.error?.message ?? "it is refused"))") }
    },
    make(
      "expert promote", [.one("NAME@V", "expert")],
      [
        reason, .flag("--allow-base", "allow_base"),
        .flag("--allow-quarantined", "allow_quarantined"),
      ],
      methods: ["expert.promote"], "Make a version the active one."
    ) { invocation throws(ControlError) in try invocation.changeExpert(ExpertPromote.self) },
    make(
      "expert rollback", [.one("NAME", "expert")], [reason], methods: ["expert.rollback"],
      "Make the version active that was active before."
    ) { invocation throws(ControlError) in try invocation.changeExpert(ExpertRollback.self) },
    make(
      "expert retire", [.one("NAME", "expert")], [reason], methods: ["expert.retire"],
      "Take an expert out of every coming search; its versions stay."
    ) { invocation throws(ControlError) in try invocation.changeExpert(ExpertRetire.self) },
    make(
      "expert remove", [.one("NAME@V", "expert")], removing, methods: ["expert.remove"],
      "Take a version away.", notes: removingNotes
    ) { invocation throws(ControlError) in try invocation.remove(ExpertRemove.self) },
    make(
      "expert export", [.one("NAME[@V]", "expert"), .one("FILE")], methods: ["expert.export"],
      "Write the stored file of a version."
    ) { invocation throws(ControlError) in
      var params = try invocation.parameters(for: ExpertExport.self)
      params["pass_fd"] = true
      let file = try invocation.call(ExpertExport.self, params)
      try invocation.writePassedFile(to: invocation.argument(1), bytes: file.bytes)
      invocation.answer(file) { file in
        invocation.console.note(
          "wrote \(escaped(file.name))@\(file.version) to \(escaped(invocation.argument(1)))")
      }
    },
  ]
}

extension Invocation {
  fileprivate func changeExpert<Method: RPCMethodDeclaration>(
    _ method: Method.Type
  ) throws(ControlError) where Method.Result == AliasMoved {
    answer(try call(method, try parameters(for: method))) { moved in
      let active = moved.active.map { "version \($0) is active" } ?? "no version is active"
      let before = moved.previous.map { " (before: \($0))" } ?? ""
      console.print("\(escaped(moved.name)): \(active)\(before)")
    }
  }

  /// Writes the file whose descriptor came with the last answer, so that FILE is there whole or not at all.
  func writePassedFile(to path: String, bytes expected: Int) throws(ControlError) {
    guard let descriptor = try client().takeDescriptor() else {
      throw .failed("the daemon sent no file with its answer")
    }
    do throws(SystemCallError) {
      let size = try descriptor.status().size
      guard expected == size else {
        throw SystemCallError("take over a file of \(size) bytes that should have \(expected)", number: 0)
      }
      try FileSystem.writeAtomically(path, try descriptor.bytes(at: 0, count: size), mode: 0o644)
    } catch {
      throw .file(error)
    }
  }

  fileprivate func registerExpert() throws(ControlError) {
    var path = argument(0)
    let bytes: [UInt8]
    if path.hasSuffix(ExpertPart.indexEnding) {
      bytes = try joinedParts(of: path)
      path = String(path.dropLast(".index.json".count))
    } else {
      do { bytes = try FileSystem.readAll(path, maximumBytes: ExpertFile.maximumBytes) } catch { throw .file(error) }
    }
    try register(
      try ExpertFileCopy(bytes, path: path, name: command.value("--name"), label: command.value("--label")), from: path)
  }

  /// The expert whose parts an index names, which lie beside it.
  private func joinedParts(of path: String) throws(ControlError) -> [UInt8] {
    func read(_ path: String, atMost limit: Int) throws(ControlError) -> [UInt8] {
      do { return try FileSystem.readAll(path, maximumBytes: limit) } catch { throw .file(error) }
    }
    let bytes = try read(path, atMost: ExpertIndex.maximumBytes)
    let index: ExpertIndex
    do { index = try ExpertIndex(bytes) } catch { throw .bad("\(escaped(path)): \(escaped(error.description))") }
    var parts: [(name: String, bytes: [UInt8])] = []
    for name in index.files {
      let part = "\(FileSystem.split(path).directory)/\(name)"
      parts.append((name, try read(part, atMost: ExpertFile.maximumBytes)))
    }
    do { return try index.joined(parts) } catch { throw .bad("\(escaped(path)): \(escaped(error.description))") }
  }

  fileprivate func importExpert() throws(ControlError) {
    let path = argument(0)
    guard let model = command.value("--model") else {
      throw .usage(
        "expert import needs --model",
        hint: "the file does not name the base that it was trained on; see: t2ctl model list")
    }
    let fileName = FileSystem.split(path).name
    let ending = [".pt", ".pth", ".bin"].first { fileName.hasSuffix($0) } ?? ""
    let name = command.value("--name") ?? String(fileName.dropLast(ending.count))
    guard ExpertName.isValid(name) else {
      throw .usage(
        "'\(escaped(name))' is not a valid expert name", hint: "a name is \(ExpertName.rule); give one with --name")
    }
    let bytes: [UInt8]
    do { bytes = try FileSystem.readAll(path, maximumBytes: TorchFile.maximumBytes) } catch { throw .file(error) }
    let signature = try signature(of: model)
    let file: TorchFile
    do { file = try TorchFile(bytes) } catch { throw .bad("\(escaped(path)): \(escaped(error.description))") }
    let expert: SakanaExpert
    do { expert = try SakanaExpert(file, for: signature) } catch {
      throw .bad("\(escaped(path)): \(escaped(error.description))")
    }
    for warning in expert.warnings { console.note("warning: \(escaped(warning.description))") }
    // A label that the daemon would refuse comes back from there, as of any other file.
    let copy = expert.bytes(name: name, label: command.value("--label"))
    try register(try ExpertFileCopy(copy, path: name + ".safetensors", name: nil, label: nil), from: path)
  }

  /// The identity and the target matrices of a model, as the daemon gives them.
  private func signature(of model: String) throws(ControlError) -> ModelSignature {
    let shown = try call(ModelShow.self, ["name": .string(model), "matrices": true])
    guard shown.matrices != nil else {
      throw .failed("model '\(escaped(model))' is \(escaped(shown.row.state)); see: t2ctl model show \(escaped(model))")
    }
    // The signature has a reader of its own, for files and for this.
    var facts = JSONObject()
    for key in ["name", "model_id", "digest", "architecture", "matrices"] { facts[key] = shown.json[key] }
    do { return try ModelSignature(json: .object(facts)) } catch {
      throw .failed("the daemon's answer to model.show is not understood: \(escaped(error.description))")
    }
  }

  /// Puts a file into the watched directory and prints the version that it became. `path` is what the user calls it.
  private func register(_ file: ExpertFileCopy, from path: String) throws(ControlError) {
    let spool = try spool().experts
    let target = "\(spool)/\(file.fileName)"
    do {
      // A name that the watcher ignores, in the same directory; then the rename that it sees.
      try FileSystem.writeAtomically(target, file.bytes, mode: 0o644)
    } catch {
      throw .file(error)
    }
    let sync = try call(SystemSync.self, [:], timeout: .seconds(40))
    let list = try self.list(ExpertList.self)
    for refused in sync.rejected + list.rejected where FileSystem.split(refused.path).name == file.fileName {
      throw .bad("\(escaped(path)): \(escaped(refused.message ?? "-"))")
    }
    guard let index = list.experts.firstIndex(where: { $0.name == file.expertName }) else {
      throw .failed(
        "'\(escaped(target))' is there, but the daemon lists no expert '\(escaped(file.expertName))'; see: t2ctl events"
      )
    }
    let expert = list.experts[index]
    answer(list.json["experts"]?.arrayValue?[index] ?? .null) {
      console.print("\(escaped(file.expertName))@\(expert.version) (\(escaped(expert.state)))")
      for warning in expert.warnings { console.note("warning: \(escaped(warning))") }
    }
  }

  /// The watched directories, as the daemon names them.
  func spool() throws(ControlError) -> Spool {
    try call(SystemHello.self, ["client": "t2ctl", "version": .string(programVersion)]).spool
  }
}
