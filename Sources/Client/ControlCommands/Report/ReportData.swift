import RPCClient
import StrictJSON

/// All that a report shows of one task on one model, as the daemon answered it.
struct ReportData {
  var mixture: JSONValue
  var task: JSONValue
  /// The search that found the mixture, in full; nil where it is not kept.
  var search: JSONValue?
  var log: JSONValue
  /// Of the mixture's experts, newest first.
  var checks: [JSONValue]
  /// The newest evaluation of dispatch on the model.
  var dispatch: JSONValue?

  var taskName: String { mixture["task"]?.stringValue ?? "" }
  var model: String { mixture["model"]?.stringValue ?? "" }
}

extension Invocation {
  /// Asks for everything, and throws what the daemon says of a task that was never adapted.
  func reportData(_ params: JSONObject) throws(ControlError) -> ReportData {
    let mixture = try call("mixture.get", params)
    let model = mixture["model"] ?? .null
    let name: JSONObject = ["task": mixture["task"] ?? .null]
    let experts = (mixture["experts"]?.arrayValue ?? []).compactMap { $0["name"]?.stringValue }
    let checks = try call("check.list", ["limit": 1000])["checks"]?.arrayValue ?? []
    return ReportData(
      mixture: mixture, task: try call("task.show", name),
      search: try job(mixture["search"]?["job"]?.integerValue),
      log: try call("mixture.log", ["task": name["task"] ?? .null, "model": model, "limit": 200]),
      checks: checks.filter { check in experts.contains { check["expert"] == .string($0) } },
      dispatch: try newestDispatch(on: model))
  }

  /// Nil where the daemon has no such job any more.
  private func job(_ number: Int64?) throws(ControlError) -> JSONValue? {
    guard let number else { return nil }
    do throws(ControlError) {
      return try call("job.show", ["job": .integer(number)])
    } catch {
      guard case .client(.refused(let refusal)) = error, refusal.kind == "unknown_job" else { throw error }
      return nil
    }
  }

  private func newestDispatch(on model: JSONValue) throws(ControlError) -> JSONValue? {
    let jobs = try call("job.list", ["state": "done", "limit": 1000])["jobs"]?.arrayValue ?? []
    return try job(jobs.first { $0["kind"] == "dispatch" && $0["model"] == model }?["job"]?.integerValue)
  }
}
