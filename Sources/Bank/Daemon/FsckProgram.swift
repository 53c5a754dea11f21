import Glibc
import Registry
import SystemSupport

/// `t2d fsck`: looks at the store while no daemon runs, and makes the catalogue again where it is lost.
///
/// Whatever is replaced is moved aside before, never removed.
struct FsckProgram {
  let paths: DaemonPaths
  /// Makes the catalogue again from its redo log, where it cannot be opened.
  let rebuilds: Bool
  /// Only names and sizes are compared.
  let isQuick: Bool
  let say: (String) -> Void

  /// Returns the exit status: 0, or 65 where something is lost or damaged.
  func run() throws(DaemonError) -> Int32 {
    let lock = try Daemon.lock(paths)
    defer { withExtendedLifetime(lock) {} }
    do throws(RegistryError) {
      let store = paths.store
      try store.refuseUnfinishedRestore()
      guard try Catalogue.exists(path: paths.catalogue, store: store) else {
        say("'\(paths.state)' has no catalogue and no redo log: there is nothing to check\n")
        return 0
      }
      try store.prepare()
      let catalogue = try open(store)
      defer { catalogue.close() }
      for finding in catalogue.findings { say("found: \(finding)\n") }
      return report(try StoreAudit(of: catalogue, depth: isQuick ? .names : .contents))
    } catch {
      throw .store(error)
    }
  }

  private func open(_ store: BlobStore) throws(RegistryError) -> Catalogue {
    do throws(RegistryError) {
      let catalogue = try Catalogue(path: paths.catalogue, store: store, now: .now)
      if rebuilds { say("the catalogue can be opened, so nothing is made again\n") }
      return catalogue
    } catch  where rebuilds && error.isDamage {
      say("the catalogue is damaged: \(error)\n")
      let aside = "\(store.backups)/damaged-\(Timestamp.now.milliseconds)"
      try Catalogue.rebuild(path: paths.catalogue, store: store, aside: aside)
      let catalogue = try Catalogue(path: paths.catalogue, store: store, mayLoseTheEnd: true, now: .now)
      say("it was made again from the redo log; what was there is in '\(aside)'\n")
      return catalogue
    }
  }

  private func report(_ audit: StoreAudit) -> Int32 {
    for finding in audit.findings {
      say(
        "\(finding.kind.rawValue): \(escaped(finding.path)): \(escaped(finding.subject)): \(escaped(finding.message))\n"
      )
    }
    let compared = isQuick ? "names and sizes" : "contents"
    let left = audit.findings.count - audit.problems.count
    say(
      "\(audit.files) files of \(audit.bytes) bytes, \(compared) compared: \(audit.problems.count) problems"
        + (left > 0 ? ", \(left) files that nothing names (t2ctl gc)" : "") + "\n")
    return audit.problems.isEmpty ? 0 : 65
  }
}
