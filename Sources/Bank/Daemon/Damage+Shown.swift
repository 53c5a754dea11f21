import Registry
import RPCProtocol

// Damage as clients see it.

extension Snapshot {
  private static let shownWarnings = 20

  /// What is damaged of what may be used, for `status`. An earlier revision of a mixture is not: nothing serves it. Of many
  /// the first: the lists of experts, tasks and mixtures name them all.
  var damageWarnings: [DaemonWarning] {
    let all = allDamageWarnings
    guard all.count > Self.shownWarnings else { return all }
    return all.prefix(Self.shownWarnings) + [
      DaemonWarning(
        code: "damaged", message: "and \(all.count - Self.shownWarnings) more stored files are damaged",
        help: "see: t2ctl expert list --all, t2ctl task list, t2ctl mixture list")
    ]
  }

  private var allDamageWarnings: [DaemonWarning] {
    guard !damage.isEmpty else { return [] }
    var warnings: [DaemonWarning] = []
    func add(_ damage: Damage, _ what: String, _ help: String) {
      warnings.append(
        DaemonWarning(
          code: "damaged", subject: damage.file, message: "\(what) is damaged, and is not used: \(damage.cause)",
          help: help))
    }
    for expert in experts {
      for version in expert.versions {
        guard let damage = damage(of: version) else { continue }
        add(damage, "expert '\(version.name)@\(version.version)'", Self.healing(damage))
      }
    }
    for served in mixtures {
      guard let damage = damage(of: served) else { continue }
      add(damage, "the mixture of '\(served.mixture.pair.task)' on '\(served.mixture.pair.model)'", Self.searching)
    }
    for task in tasks {
      guard let damage = damage(of: task) else { continue }
      add(damage, "the copy of task '\(task.name)'", Self.healing(damage))
    }
    return warnings
  }

  private static let searching = "it is searched anew; see: t2ctl task list"

  private static func healing(_ damage: Damage) -> String {
    "drop its file again, or restore '\(damage.file)' below var/lib/t2d from a backup and run: t2ctl sync"
  }

  /// Refuses what is damaged.
  func requireWhole(_ version: ExpertVersion) throws(RPCError) {
    guard let damage = damage(of: version) else { return }
    throw RPCError(
      .damaged, "expert '\(version.name)@\(version.version)' is damaged: \(damage.cause)", hint: Self.healing(damage))
  }

  func requireWhole(_ served: ServedMixture) throws(RPCError) {
    guard let damage = damage(of: served) else { return }
    let pair = served.mixture.pair
    throw RPCError(
      .damaged, "the mixture of task '\(pair.task)' on model '\(pair.model)' is damaged: \(damage.cause)",
      hint: Self.searching)
  }

  /// The task, where a job can read it.
  func resolveReadableTask(_ name: String) throws(RPCError) -> TaskRecord {
    let task = try resolveTask(name)
    guard let damage = damage(of: task) else { return task }
    throw RPCError(.damaged, "the copy of task '\(name)' is damaged: \(damage.cause)", hint: Self.healing(damage))
  }
}
