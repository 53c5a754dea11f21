import Experts
import ModelFormats
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
      notes: "The file is copied under another name first and then renamed, so that the daemon never meets half of it. "
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
      ],
      methods: ["expert.list"], "The experts with their versions."
    ) { invocation throws(ControlError) in
      let result = try invocation.call("expert.list", try invocation.parameters(for: "expert.list"))
      invocation.answer(result) {
        var table = Table(
          ("NAME", .left), ("VERSION", .right), ("ACTIVE", .right), ("STATE", .left), ("LABEL", .left),
          ("MODEL", .left),
          ("ADDED", .left))
        for expert in result["experts"]?.arrayValue ?? [] {
          table.add([
            expert["name"].cell, expert["version"].cell, expert["active"].cell, expert["state"].cell,
            expert["label"].cell, expert["model"].cell, expert["added"].cell,
          ])
        }
        invocation.print(table, empty: "no experts; register one with: t2ctl expert register FILE")
        for expert in result["experts"]?.arrayValue ?? [] {
          for warning in expert["warnings"]?.arrayValue ?? [] {
            invocation.console.note("\(escaped(expert["name"].cell)): warning: \(escaped(warning.cell))")
          }
        }
        invocation.noteRejected(result)
      }
    },
    make("expert show", [.one("NAME[@V]", "expert")], methods: ["expert.show"], "One version of an expert.") {
      invocation throws(ControlError) in
      let result = try invocation.call("expert.show", try invocation.parameters(for: "expert.show"))
      invocation.answer(result) {
        var shown = result.objectValue ?? [:]
        var checks = JSONObject()
        for check in result["checks"]?.arrayValue ?? [] { checks[check["check"].cell] = .string(shortCheck(check)) }
        shown["checks"] = .object(checks)
        invocation.showMembers(.object(shown))
      }
    },
    make(
      "expert log", [.one("NAME", "expert")], [.value("--limit", "N", "limit")],
      methods: ["expert.log"], "What happened to an expert."
    ) { invocation throws(ControlError) in
      let result = try invocation.call("expert.log", try invocation.parameters(for: "expert.log"))
      invocation.answer(result) {
        var table = Table(
          ("TIME", .left), ("EVENT", .left), ("VERSION", .right), ("FROM", .right), ("TO", .right), ("WHO", .left),
          ("REASON", .left))
        for event in result["events"]?.arrayValue ?? [] {
          table.add([
            event["time"].cell, event["event"].cell, event["version"].cell, event["from"].cell, event["to"].cell,
            event["who"].cell, event["reason"].cell,
          ])
        }
        invocation.print(table, empty: "nothing happened to it")
      }
    },
    make(
      "expert verify", [.one("FILE")], [model], methods: ["expert.verify"],
      "Read an expert file by every rule, and store nothing.", notes: "Ends with status 5 where the file is refused."
    ) { invocation throws(ControlError) in
      var params = try invocation.parameters(for: "expert.verify")
      params["path"] = .string(try invocation.absolutePath(invocation.argument(0)))
      let result = try invocation.call("expert.verify", params)
      invocation.answer(result) {
        for warning in result["warnings"]?.arrayValue ?? [] {
          invocation.console.note("warning: \(escaped(warning.cell))")
        }
        if result["ok"] == true {
          invocation.console.print(
            "\(escaped(invocation.argument(0))): good: \(escaped(result["name"].cell)) for \(escaped(result["model"].cell))"
          )
        }
      }
      if result["ok"] != true {
        throw .bad(
          "\(escaped(invocation.argument(0))): \(escaped((result["error"]?["message"] ?? "it is refused").cell))")
      }
    },
    make(
      "expert promote", [.one("NAME@V", "expert")],
      [
        reason, .flag("--allow-base", "allow_base"),
        .flag("--allow-quarantined", "allow_quarantined"),
      ],
      methods: ["expert.promote"], "Make a version the active one."
    ) { invocation throws(ControlError) in try invocation.changeExpert("expert.promote") },
    make(
      "expert rollback", [.one("NAME", "expert")], [reason], methods: ["expert.rollback"],
      "Make the version active that was active before."
    ) { invocation throws(ControlError) in try invocation.changeExpert("expert.rollback") },
    make(
      "expert retire", [.one("NAME", "expert")], [reason], methods: ["expert.retire"],
      "Take an expert out of every coming search; its versions stay."
    ) { invocation throws(ControlError) in try invocation.changeExpert("expert.retire") },
    make(
      "expert export", [.one("NAME[@V]", "expert"), .one("FILE")], methods: ["expert.export"],
      "Write the stored file of a version."
    ) { invocation throws(ControlError) in
      var params = try invocation.parameters(for: "expert.export")
      params["pass_fd"] = true
      let result = try invocation.call("expert.export", params)
      try invocation.writePassedFile(to: invocation.argument(1), bytes: result["bytes"]?.intValue ?? 0)
      invocation.answer(result) {
        invocation.console.note(
          "wrote \(escaped(result["name"].cell))@\(result["version"].cell) to \(escaped(invocation.argument(1)))")
      }
    },
  ]
}

extension Invocation {
  fileprivate func changeExpert(_ method: String) throws(ControlError) {
    let result = try call(method, try parameters(for: method))
    answer(result) {
      let active = result["active"]?.integerValue.map { "version \($0) is active" } ?? "no version is active"
      let before = result["previous"]?.integerValue.map { " (before: \($0))" } ?? ""
      console.print("\(escaped(result["name"].cell)): \(active)\(before)")
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
    let path = argument(0)
    let bytes: [UInt8]
    do { bytes = try FileSystem.readAll(path, maximumBytes: 64 << 20) } catch { throw .file(error) }
    try register(
      try ExpertFileCopy(bytes, path: path, name: command.value("--name"), label: command.value("--label")), from: path)
  }

  fileprivate func importExpert() throws(ControlError) {
    let path = argument(0)
    guard let model = command.value("--model") else {
      throw .usage(
        "expert import needs --model",
        hint: "the file does not name the base that it was trained on; see: t2ctl model list")
    }
    let fileName = FileSystem.split(path).name
    let name = command.value("--name") ?? (fileName.hasSuffix(".pt") ? String(fileName.dropLast(3)) : fileName)
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
    // A label that the daemon would refuse comes back from there, as of any other file.
    let copy = expert.bytes(name: name, label: command.value("--label"))
    try register(try ExpertFileCopy(copy, path: name + ".safetensors", name: nil, label: nil), from: path)
  }

  /// The identity and the target matrices of a model, as the daemon gives them.
  private func signature(of model: String) throws(ControlError) -> ModelSignature {
    let shown = try call("model.show", ["name": .string(model), "matrices": true])
    guard shown["matrices"] != nil else {
      throw .failed(
        "model '\(escaped(model))' is \(escaped(shown["state"].cell)); see: t2ctl model show \(escaped(model))")
    }
    var facts = JSONObject()
    for key in ["name", "model_id", "digest", "architecture", "matrices"] { facts[key] = shown[key] }
    do { return try ModelSignature(json: .object(facts)) } catch {
      throw .failed("the daemon's answer to model.show is not understood: \(escaped(error.description))")
    }
  }

  /// Puts a file into the watched directory and prints the version that it became. `path` is what the user calls it.
  private func register(_ file: ExpertFileCopy, from path: String) throws(ControlError) {
    let spool = try spoolDirectory("experts")
    let target = "\(spool)/\(file.fileName)"
    do {
      // A name that the watcher ignores, in the same directory; then the rename that it sees.
      try FileSystem.writeAtomically(target, file.bytes, mode: 0o644)
    } catch {
      throw .file(error)
    }
    let sync = try call("system.sync", [:], timeout: .seconds(40))
    let list = try call("expert.list")
    for source in [sync, list] {
      for refused in source["rejected"]?.arrayValue ?? [] {
        let name = refused["path"]?.stringValue.map { FileSystem.split($0).name }
        if name == file.fileName { throw .bad("\(escaped(path)): \(escaped(refused["message"].cell))") }
      }
    }
    guard let expert = list["experts"]?.arrayValue?.first(where: { $0["name"]?.stringValue == file.expertName }) else {
      throw .failed(
        "'\(escaped(target))' is there, but the daemon lists no expert '\(escaped(file.expertName))'; see: t2ctl events"
      )
    }
    answer(expert) {
      let version = expert["version"].cell
      console.print("\(escaped(file.expertName))@\(version) (\(escaped(expert["state"].cell)))")
      for warning in expert["warnings"]?.arrayValue ?? [] { console.note("warning: \(escaped(warning.cell))") }
    }
  }

  /// A watched directory, as the daemon names it.
  func spoolDirectory(_ kind: String) throws(ControlError) -> String {
    let hello = try call("system.hello", ["client": "t2ctl", "version": .string(programVersion)])
    guard let path = hello["spool"]?[kind]?.stringValue else {
      throw .failed("the daemon does not say where its directory of \(kind) is")
    }
    return path
  }
}
