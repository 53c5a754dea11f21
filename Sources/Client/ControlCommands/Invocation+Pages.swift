import RPCClient
import RPCProtocol
import Records
import StrictJSON
import SystemSupport

extension Invocation {
  /// A list from all its pages, as one answer; or as many rows as `limit` in the parameters says, where it is there, or
  /// `standard`.
  func list<Method: RPCMethodDeclaration>(
    _ method: Method.Type, _ given: JSONObject = [:], standard: Int? = nil
  ) throws(ControlError) -> Answer<Method.Result> where Method.Result: PagedResult {
    var params = given
    let wanted = params["limit"]?.intValue ?? standard
    params["limit"] = wanted.map { JSONValue($0) }
    let first = try call(method, params)
    var whole = first.value
    while let next = whole.next, wanted.map({ whole.rowCount < $0 }) ?? true {
      params["after"] = .string(next)
      params["limit"] = wanted.map { JSONValue($0 - whole.rowCount) }
      let page = try call(method, params)
      guard page.next != next else { throw .failed("the daemon's pages of \(Method.name) do not end") }
      whole.append(page.value)
    }
    return whole.next == first.next ? first : Answer(whole, json: RecordWriter.json(whole))
  }

  /// How many of something are shown one by one, where there may be thousands.
  private static var shownNotes: Int { 5 }

  func noteWarnings(of experts: [ExpertRow]) {
    for expert in experts {
      guard let cause = expert.damaged else { continue }
      console.note("\(escaped(expert.name))@\(expert.version): damaged: \(escaped(cause))")
    }
    let warned = experts.filter { !$0.warnings.isEmpty }
    for expert in warned.prefix(Self.shownNotes) {
      for warning in expert.warnings.prefix(Self.shownNotes) {
        console.note("\(escaped(expert.name)): warning: \(escaped(warning))")
      }
    }
    guard warned.count > Self.shownNotes else { return }
    console.note("\(warned.count) experts have warnings; see: t2ctl expert show NAME")
  }

  /// Files that were refused, on standard error: they are no part of a list. `leftOut`: how many more there are.
  func noteRejected(_ files: [IngestRow], leftOut: Int = 0) {
    for file in files.prefix(Self.shownNotes) {
      console.note("refused: \(escaped(file.path)): \(escaped(file.message ?? "-"))")
    }
    let count = files.count + leftOut
    guard count > min(files.count, Self.shownNotes) else { return }
    console.note("\(count) files were refused; all of them: t2ctl expert list --json, t2ctl task list --json")
  }
}
