import RPCProtocol
import ResultText

extension Verb {
  static let jobVerbs: [Verb] = [
    make(
      "job list", [],
      [
        .value("--state", "S", "state", "queued, running, done, failed, cancelled or interrupted"),
        newest,
      ],
      methods: ["job.list"], "The newest jobs."
    ) { invocation throws(ControlError) in
      let result = try invocation.list(
        JobList.self, try invocation.parameters(for: JobList.self), standard: Verb.newestRows)
      invocation.answer(result) { result in
        var table = Table(
          [
            ("JOB", .right), ("KIND", .left), ("STATE", .left), ("TASK", .left), ("MODEL", .left), ("DONE", .right),
            ("BEST", .right), ("CREATED", .left), ("DETAIL", .left),
          ], keys: 1)
        for job in result.jobs {
          table.add([
            "\(job.job)", job.kind.name, job.state.rawValue, job.task ?? "-", job.model ?? "-",
            ProgressLine.percent(job),
            cell(job.best), job.created, job.detail ?? "-",
          ])
        }
        invocation.print(table, empty: "no jobs")
      }
    },
    make("job show", [.one("ID", "job")], methods: ["job.show"], "One job.") { invocation throws(ControlError) in
      let result = try invocation.call(JobShow.self, try invocation.parameters(for: JobShow.self))
      // Its spec and its result are of its kind.
      invocation.answer(result.json) { invocation.showMembers(result.json) }
    },
    make(
      "job wait", [.one("ID", "job")], methods: ["job.wait"], "Wait until a job has ended.",
      notes: "Ctrl-C ends the waiting and not the job. A job that failed or was cancelled is status 1, the end of "
        + "--timeout 4."
    ) { invocation throws(ControlError) in
      let number = try invocation.parameters(for: JobWait.self)["job"]?.integerValue ?? 0
      let job = try invocation.waitForJob(number)
      invocation.answer(job) { invocation.console.print("job \($0.row.job) is \($0.row.state.rawValue)") }
    },
    make("job cancel", [.one("ID", "job")], methods: ["job.cancel"], "End a job that is queued or running.") {
      invocation throws(ControlError) in
      let result = try invocation.call(JobCancel.self, try invocation.parameters(for: JobCancel.self))
      invocation.answer(result) { invocation.console.print("job \($0.job) is \($0.state.rawValue)") }
    },
  ]
}
