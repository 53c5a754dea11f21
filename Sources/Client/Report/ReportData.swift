package import RPCProtocol
package import Results

/// All that a report shows of one task on one model, as the daemon answered it.
package struct ReportData {
  /// The newest evaluation of dispatch on the model.
  package struct Dispatch {
    let job: JobRow
    let result: DispatchEvaluateResult

    package init(job: JobRow, result: DispatchEvaluateResult) {
      self.job = job
      self.result = result
    }
  }

  let mixture: MixtureGet.Served
  let task: TaskRow
  /// What the search's job says, more than `mixture.get` does; nil where it is not kept.
  let search: Mixture?
  let log: MixtureLog.Result
  /// Of the mixture's experts, newest first.
  let checks: [CheckRow]
  let dispatch: Dispatch?

  /// - Parameter checks: of any expert, newest first.
  package init(
    mixture: MixtureGet.Served, task: TaskRow, search: Mixture?, log: MixtureLog.Result, checks: [CheckRow],
    dispatch: Dispatch?
  ) {
    self.mixture = mixture
    self.task = task
    self.search = search
    self.log = log
    let experts = mixture.mixture.experts.map(\.name)
    self.checks = checks.filter { experts.contains($0.expert) }
    self.dispatch = dispatch
  }

  package var taskName: String { mixture.task }
  package var model: String { mixture.model }
}
