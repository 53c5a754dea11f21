import Glibc
import Registry
import SystemSupport

/// `t2d fsck`: looks at the store while no daemon runs, and makes the catalogue again where it is lost.
///
/// Whatever is replaced is moved aside before, never removed.
struct FsckProgram {
  let paths: DaemonPaths
  /// Makes the catalogue again from its redo log, where it cannot be opened, or, where that is lost too, from the blobs.
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
      let isThere = try (Catalogue.exists(path: paths.catalogue, store: store), store.holdsBlobs())
      guard isThere.0 || isThere.1 else {
        say("'\(paths.state)' has no catalogue and no redo log: there is nothing to check\n")
        return 0
      }
      try store.prepare(goesOnRebuilding: rebuilds)
      let catalogue = try open(store)
      defer { catalogue.close() }
      for finding in catalogue.findings { say("found: \(finding)\n") }
      return report(try StoreAudit(of: catalogue, depth: isQuick ? .names : .contents))
    } catch {
      throw .store(error)
    }
  }

  private func open(_ store: BlobStore) throws(RegistryError) -> Catalogue {
    let aside = "\(store.backups)/damaged-\(Timestamp.now.milliseconds)"
    if try store.isPartlyRebuilt() {
      say("the catalogue was being made again, and that had not ended\n")
      return try rebuildFromBlobs(aside)
    }
    do throws(RegistryError) {
      let catalogue = try Catalogue(path: paths.catalogue, store: store, now: .now)
      if rebuilds { say("the catalogue can be opened, so nothing is made again\n") }
      return catalogue
    } catch  where rebuilds && error.isDamage {
      say("the catalogue is damaged: \(error)\n")
      do throws(RegistryError) {
        try Catalogue.rebuild(path: paths.catalogue, store: store, aside: aside)
        let catalogue = try Catalogue(path: paths.catalogue, store: store, mayLoseTheEnd: true, now: .now)
        say("it was made again from the redo log; what was there is in '\(aside)'\n")
        return catalogue
      } catch  where error.isDamage {
        say("the redo log is of no use: \(error)\n")
        return try rebuildFromBlobs(aside)
      }
    }
  }

  private func rebuildFromBlobs(_ aside: String) throws(RegistryError) -> Catalogue {
    let catalogue = try RebuildFromBlobs(paths: paths, aside: aside, say: say).run(now: .now)
    say("what was there is in '\(aside)'\n")
    return catalogue
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
