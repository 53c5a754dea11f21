import RPCClient
import RPCProtocol
import Report
import ResultText
import Results
import StrictJSON
import SystemSupport

extension Verb {
  static let reportVerbs: [Verb] = [
    make(
      "report", [.optional("TASK", "task")],
      [
        model, output("write there"),
        .flag("--all", nil, "every task, and an index; FILE is a directory then"),
      ],
      methods: [
        "mixture.get", "mixture.log", "mixture.list", "task.show", "task.list", "check.list", "job.list", "job.show",
      ],
      "A picture of a task's mixture: one HTML file.",
      notes:
        "Holds the scores with their intervals, the coefficients, the history and the cost of the search, the items "
        + "won and lost, checks, dispatch and history. The file loads nothing and runs no script. It is TASK.html unless "
        + "-o (--output) says otherwise; -o - is standard output. A file is replaced only by a whole one."
    ) { invocation throws(ControlError) in
      if invocation.command.has("--all") { try invocation.reportAll() } else { try invocation.report() }
    }
  ]
}

extension Invocation {
  fileprivate func report() throws(ControlError) {
    guard let task = command.arguments.first else {
      throw .usage("t2ctl report needs TASK, or --all", hint: "usage: \(command.verb.usage)")
    }
    let page = ReportPage(
      data: try reportData(try parameters(for: MixtureGet.self)), time: Logger.timestamp(), version: programVersion)
    let path = command.value("--output") ?? "\(fileName(task)).html"
    guard path != "-" else { return console.out.write(page.html) }
    let bytes = Array(page.html.utf8)
    do throws(SystemCallError) {
      try FileSystem.writeAtomically(path, bytes, mode: 0o644)
    } catch {
      throw .file(error)
    }
    said(path, bytes.count)
  }

  private func said(_ path: String, _ bytes: Int) {
    answer(["path": .string(path), "bytes": JSONValue(bytes)]) {
      console.print("wrote \(escaped(path)) (\(bytesText(Int64(bytes))))")
    }
  }

  /// Everything is asked before anything is written, and written beside its place before it is moved there.
  fileprivate func reportAll() throws(ControlError) {
    guard command.arguments.isEmpty else {
      throw .usage("t2ctl report takes TASK or --all, and not both", hint: nil)
    }
    guard let directory = command.value("--output"), directory != "-" else {
      throw .usage("t2ctl report --all needs a directory: -o DIR", hint: nil)
    }
    let time = Logger.timestamp()
    var files: [(name: String, bytes: [UInt8])] = []
    var index = ReportIndex(time: time)
    let mixtures = try list(MixtureList.self).mixtures
    let wanted = command.value("--model")
    for mixture in mixtures where wanted == nil || mixture.model == wanted {
      let data = try reportData(["task": .string(mixture.task), "model": .string(mixture.model)])
      var name = fileName("\(data.taskName)@\(data.model)")
      while files.contains(where: { $0.name == name + ".html" }) { name += "_" }
      files.append((name + ".html", Array(ReportPage(data: data, time: time, version: programVersion).html.utf8)))
      index.add(data, file: name + ".html")
    }
    for task in try list(TaskList.self).tasks where !mixtures.contains(where: { $0.task == task.name }) {
      index.addMissing(task)
    }
    // Last, so that it never names what is not there.
    files.append(("index.html", Array(index.html.utf8)))
    do throws(SystemCallError) {
      try put(files, into: directory)
    } catch {
      throw .file(error)
    }
    said("\(directory)/index.html", files.reduce(0) { $0 + $1.bytes.count })
  }

  /// A directory that is not there appears whole. Into one that is, whole files are moved, and what else is in it stays.
  private func put(_ files: [(name: String, bytes: [UInt8])], into directory: String) throws(SystemCallError) {
    let (parent, name) = FileSystem.split(directory)
    let staging = "\(parent)/.\(name).\(String(UInt64.random(in: 0 ... .max), radix: 36)).part"
    try FileSystem.createDirectories(staging)
    do throws(SystemCallError) {
      for file in files { try FileSystem.writeAtomically("\(staging)/\(file.name)", file.bytes, mode: 0o644) }
      if try FileSystem.status(directory, followingLinks: true) == nil {
        try FileSystem.rename(staging, to: directory)
      } else {
        for file in files { try FileSystem.rename("\(staging)/\(file.name)", to: "\(directory)/\(file.name)") }
        try FileSystem.removeTree(staging)
      }
    } catch {
      try? FileSystem.removeTree(staging)
      throw error
    }
  }

  /// Names of tasks and models are made of such characters; a model may bring others.
  private func fileName(_ name: String) -> String {
    let text = String(
      name.unicodeScalars.map { scalar in
        scalar.isASCII && (scalar.properties.isAlphabetic || scalar.properties.numericType != nil)
          || "._-@".unicodeScalars.contains(scalar) ? Character(scalar) : "_"
      })
    return text.hasPrefix(".") ? "_" + text : text
  }
}

extension Invocation {
  /// Asks for everything, and throws what the daemon says of a task that was never adapted.
  private func reportData(_ params: JSONObject) throws(ControlError) -> ReportData {
    let mixture = try mixture(params).value
    let task = JSONValue.string(mixture.task)
    return ReportData(
      mixture: mixture, task: try call(TaskShow.self, ["task": task]).row,
      search: try search(mixture.mixture.search.job),
      log: try list(MixtureLog.self, ["task": task, "model": .string(mixture.model)], standard: 200).value,
      checks: try list(CheckList.self, standard: 1000).checks, dispatch: try newestDispatch(on: mixture.model))
  }

  /// Nil where the daemon has no such job any more.
  private func search(_ number: Int64?) throws(ControlError) -> Mixture? {
    guard let number else { return nil }
    do throws(ControlError) {
      let job = try call(JobShow.self, ["job": .integer(number)])
      return try read(job.result ?? .null, as: Mixture.self, of: JobShow.name)
    } catch {
      guard case .client(.refused(let refusal)) = error, refusal.kind == RPCErrorCode.unknownJob.kind else {
        throw error
      }
      return nil
    }
  }

  private func newestDispatch(on model: String) throws(ControlError) -> ReportData.Dispatch? {
    let jobs = try list(JobList.self, ["state": "done"], standard: 1000).jobs
    guard let row = jobs.first(where: { $0.kind == DispatchEvaluateResult.kind && $0.model == model }) else {
      return nil
    }
    let job = try call(JobShow.self, ["job": .integer(row.job)])
    let result = try read(job.result ?? .null, as: DispatchEvaluateResult.self, of: JobShow.name)
    return ReportData.Dispatch(job: job.row, result: result)
  }
}
