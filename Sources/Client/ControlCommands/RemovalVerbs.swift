import RPCProtocol
import ResultText
import StrictJSON
import SystemSupport

extension Verb {
  static let removalVerbs: [Verb] = [
    make(
      "removal list", [], [newest], methods: ["removal.list"], "What was removed, and what can be undone.",
      notes: "What is 'removed' can be undone until gc gives its files up; before KEPT UNTIL gc leaves them."
    ) { invocation throws(ControlError) in
      let list = try invocation.list(
        RemovalList.self, try invocation.parameters(for: RemovalList.self), standard: Verb.newestRows)
      invocation.answer(list) { list in
        var table = Table(
          ("NUMBER", .right), ("WHAT", .left), ("NAME", .left), ("STATE", .left), ("TIME", .left),
          ("KEPT UNTIL", .left),
          ("WHO", .left), ("REASON", .left))
        for row in list.removals {
          table.add([
            "\(row.removal)", row.kind.rawValue, fullName(row.name, row.version), row.state.rawValue, row.time,
            row.keptUntil ?? "-", row.who, row.reason.isEmpty ? "-" : row.reason,
          ])
        }
        invocation.print(table, empty: "nothing was removed")
      }
    },
    make(
      "removal undo", [.one("NUMBER", "removal")], methods: ["removal.undo"], "Bring back what was removed.",
      notes: "A version that was active is so again, unless another one was promoted since."
    ) { invocation throws(ControlError) in
      let undone = try invocation.call(RemovalUndo.self, try invocation.parameters(for: RemovalUndo.self))
      invocation.answer(undone) { undone in
        let name = escaped(fullName(undone.row.name, undone.row.version))
        let active = undone.active.map { "; version \($0) is active" } ?? ""
        invocation.console.print("\(undone.row.kind.rawValue) \(name) is there again\(active)")
      }
    },
  ]

  /// Of a command that removes something.
  static let removing: [Option] = [
    .flag("--apply", "apply"), .value("--reason", "TEXT", "reason", "why, for the journal"),
  ]
  static let removingNotes =
    "Without --apply it only says what depends on it. What is removed can be undone, see: t2ctl removal list"
}

private func fullName(_ name: String, _ version: Int?) -> String { name + (version.map { "@\($0)" } ?? "") }

extension Invocation {
  /// Calls a method that removes something and says what it did, or what it would do.
  func remove<Method: RPCMethodDeclaration>(
    _ method: Method.Type
  ) throws(ControlError) where Method.Result == Removed {
    answer(try call(method, try parameters(for: method))) { removed in
      let what = "\(removed.kind.rawValue) \(escaped(fullName(removed.name, removed.version)))"
      for line in lines(of: removed) { console.print(line) }
      guard let number = removed.removal else {
        return console.note("\(what) would be removed; add --apply to remove it")
      }
      console.note(
        "removed \(what); 't2ctl removal undo \(number)' brings it back, until \(removed.keptUntil ?? "-") at least")
    }
  }

  /// What depends on it, a line each.
  private func lines(of removed: Removed) -> [String] {
    let depends = removed.depends
    var lines: [String] = []
    if depends.active {
      lines.append("it is active; then " + (depends.successor.map { "version \($0) is" } ?? "no version is"))
    }
    let isPart = removed.version != nil
    for pair in depends.mixtures {
      lines.append(
        "the mixture of \(escaped(pair.task)) on \(escaped(pair.model)) "
          + (isPart ? "is made with it, and is searched again" : "goes with it"))
    }
    if depends.experts > 0 { lines.append("\(depends.experts) active experts are made for it; they stay") }
    if depends.tasks > 0 { lines.append("\(depends.tasks) tasks are for it alone; they stay") }
    if depends.checks > 0 { lines.append("\(depends.checks) checks of it are not shown any more") }
    for job in depends.jobs { lines.append("job \(job) is about it, and is stopped") }
    for file in depends.files { lines.append("the file \(escaped(file)) stays, and is ignored") }
    if depends.more > 0 { lines.append("and \(depends.more) more") }
    return lines
  }
}
