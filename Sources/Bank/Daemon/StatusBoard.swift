package import Registry
import SystemSupport
package import WorkerProtocol

/// What changes too often for the catalogue and is shown by `status`: the worker, and how far jobs are.
///
/// Any thread reads and writes.
package final class StatusBoard: Sendable {
  package struct Worker: Sendable, Equatable {
    package enum State: String, Sendable {
      case starting, ready, failed
    }
    package var state = State.starting
    package var hello: HelloAnswer?
    package var memory: MemoryAnswer?
    /// Why the last one ended.
    package var problem: String?
    package var restarts = 0
  }

  /// What the slow reading of all stored files has come to.
  package struct Scrub: Sendable, Equatable {
    /// That came to their end since the start.
    package var passes = 0
    package var last: Timestamp?
    /// Of the last pass.
    package var files = 0
    package var bytes = 0
  }

  private struct Contents {
    var worker = Worker()
    var scrub = Scrub()
    var progress: [Int64: JobProgress] = [:]
    var warnings: [DaemonWarning] = []
  }

  private let contents = Mutex(Contents())

  package init() {}

  package var worker: Worker { contents.withLock { $0.worker } }
  package func progress(of job: Int64) -> JobProgress? { contents.withLock { $0.progress[job] } }
  package var scrub: Scrub { contents.withLock { $0.scrub } }
  package var warnings: [DaemonWarning] { contents.withLock { $0.warnings } }

  func update(_ change: (inout Worker) -> Void) { contents.withLock { change(&$0.worker) } }
  func scrubbed(files: Int, bytes: Int) {
    contents.withLock {
      $0.scrub = Scrub(passes: $0.scrub.passes + 1, last: .now, files: files, bytes: bytes)
    }
  }
  func setProgress(_ progress: JobProgress?, of job: Int64) { contents.withLock { $0.progress[job] = progress } }

  // MARK: - Warnings, each of which ends with its cause

  /// Shows a warning, in the place of an earlier one of the same code and subject. True where it says something new.
  @discardableResult
  func raise(_ warning: DaemonWarning) -> Bool {
    contents.withLock { contents in
      guard let place = contents.warnings.firstIndex(where: { $0.isAbout(warning.subject, warning.code) }) else {
        contents.warnings.append(warning)
        return true
      }
      defer { contents.warnings[place] = warning }
      return contents.warnings[place] != warning
    }
  }

  /// The cause of a warning is gone. True where there was one.
  @discardableResult
  func end(_ code: String, about subject: String = "") -> Bool {
    contents.withLock { contents in
      let before = contents.warnings.count
      contents.warnings.removeAll { $0.isAbout(subject, code) }
      return contents.warnings.count != before
    }
  }
}
