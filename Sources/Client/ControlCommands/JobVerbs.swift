import ResultText
import StrictJSON
import SystemSupport

extension Verb {
  static let jobVerbs: [Verb] = [
    make(
      "job list", [],
      [
        .value("--state", "S", "state", "queued, running, done, failed, cancelled or interrupted"),
        .value("--limit", "N", "limit"),
      ],
      methods: ["job.list"], "The newest jobs."
    ) { invocation throws(ControlError) in
      let result = try invocation.call("job.list", try invocation.parameters(for: "job.list"))
      invocation.answer(result) {
        var table = Table(
          [
            ("JOB", .right), ("KIND", .left), ("STATE", .left), ("TASK", .left), ("MODEL", .left), ("DONE", .right),
            ("BEST", .right), ("CREATED", .left), ("DETAIL", .left),
          ], keys: 1)
        for job in result["jobs"]?.arrayValue ?? [] {
          let done = job["fraction"] == nil ? "-" : ProgressLine.percent(job)
          table.add([
            job["job"].cell, job["kind"].cell, job["state"].cell, job["task"].cell, job["model"].cell, done,
            (job["best"]?["score"] ?? job["best"]).cell, job["created"].cell, job["detail"].cell,
          ])
        }
        invocation.print(table, empty: "no jobs")
      }
    },
    make("job show", [.one("ID", "job")], methods: ["job.show"], "One job.") { invocation throws(ControlError) in
      let result = try invocation.call("job.show", try invocation.parameters(for: "job.show"))
      invocation.answer(result) { invocation.showMembers(result) }
    },
    make(
      "job wait", [.one("ID", "job")], methods: ["job.wait"], "Wait until a job has ended.",
      notes: "Ctrl-C ends the waiting and not the job. A job that failed or was cancelled is status 1, the end of "
        + "--timeout 4."
    ) { invocation throws(ControlError) in
      let number = try invocation.parameters(for: "job.wait")["job"]?.integerValue ?? 0
      let job = try invocation.waitForJob(number)
      invocation.answer(job) { invocation.console.print("job \(number) is \(escaped(job["state"].cell))") }
    },
    make("job cancel", [.one("ID", "job")], methods: ["job.cancel"], "End a job that is queued or running.") {
      invocation throws(ControlError) in
      let result = try invocation.call("job.cancel", try invocation.parameters(for: "job.cancel"))
      invocation.answer(result) {
        invocation.console.print("job \(result["job"].cell) is \(escaped(result["state"].cell))")
      }
    },
  ]
}
