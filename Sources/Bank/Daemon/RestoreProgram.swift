import Glibc
import Registry
import SystemSupport

/// `t2d restore`: makes the store again from a backup, while no daemon runs.
struct RestoreProgram {
  let paths: DaemonPaths
  /// The backup.
  let file: String
  let say: (String) -> Void

  /// Returns the exit status: 0, or 65 where stored files were damaged when the backup was made.
  func run() throws(DaemonError) -> Int32 {
    let backup: FileDescriptor
    do throws(SystemCallError) {
      backup = try FileDescriptor.open(file, O_RDONLY | O_NONBLOCK)
      let status = try backup.status()
      guard status.kind == .regular else {
        throw SystemCallError("read", file, number: EINVAL, hint: "it is \(status.kind.phrase), and a backup is a file")
      }
    } catch {
      throw .files(error)
    }
    try paths.prepareState()
    let lock = try Daemon.lock(paths)
    defer { withExtendedLifetime(lock) {} }
    do throws(StoreRestore.Failure) {
      let (catalogue, restored) = try StoreRestore(into: paths.store, catalogue: paths.catalogue).run(
        from: backup, now: .now)
      catalogue.close()
      return report(restored)
    } catch {
      switch error {
      case .registry(let error): throw .store(error)
      case .backup(let error): throw .files(error)
      case .damaged(let problem): throw .damagedBackup(file: file, problem: problem)
      case .notEmpty(let found):
        throw .unsafeState(
          "'\(paths.state)' holds \(found) already, and a backup is restored into an empty store only; move it away with: "
            + "mv '\(paths.state)' '\(paths.state).old'")
      }
    }
  }

  private func report(_ restored: StoreRestore.Restored) -> Int32 {
    for damaged in restored.damaged {
      say(
        "not in the backup, because it was damaged: \(escaped(damaged.path)): \(escaped(damaged.subject)): "
          + "\(escaped(damaged.message))\n")
    }
    say(
      "restored \(restored.files) files of \(restored.bytes) bytes into '\(paths.state)', as of event \(restored.event) at "
        + "\(restored.time); t2d can be started\n")
    return restored.damaged.isEmpty ? 0 : 65
  }
}
