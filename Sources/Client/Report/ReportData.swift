package import StrictJSON

/// All that a report shows of one task on one model, as the daemon answered it.
package struct ReportData {
  let mixture: JSONValue
  let task: JSONValue
  let search: JSONValue?
  let log: JSONValue
  /// Of the mixture's experts, newest first.
  let checks: [JSONValue]
  let dispatch: JSONValue?

  /// The answers of `mixture.get`, `task.show`, `mixture.log` and `check.list`; of `job.show` for the search that found
  /// the mixture, nil where it is not kept; and of `job.show` for the newest evaluation of dispatch on the model.
  package init(
    mixture: JSONValue, task: JSONValue, search: JSONValue?, log: JSONValue, checks: JSONValue, dispatch: JSONValue?
  ) {
    self.mixture = mixture
    self.task = task
    self.search = search
    self.log = log
    let experts = (mixture["experts"]?.arrayValue ?? []).compactMap { $0["name"] }
    self.checks = (checks["checks"]?.arrayValue ?? []).filter { $0["expert"].map(experts.contains) ?? false }
    self.dispatch = dispatch
  }

  package var taskName: String { mixture["task"]?.stringValue ?? "" }
  package var model: String { mixture["model"]?.stringValue ?? "" }
}
