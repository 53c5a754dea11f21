package import Registry
import SystemSupport

/// Where everything is under the prefix.
package struct DaemonPaths: Sendable {
  /// Absolute and without symbolic links, because clients in other directories are told paths below it.
  package let prefix: String
  package let socket: String

  package init(prefix: String, socket: String) {
    self.prefix = prefix == "/" ? "" : prefix
    self.socket = socket.hasPrefix("/") ? socket : self.prefix + "/" + socket
  }

  /// A path of the configuration: relative to the prefix.
  func resolve(_ path: String) -> String { path.hasPrefix("/") ? path : prefix + "/" + path }

  package var state: String { prefix + "/var/lib/t2d" }
  package var run: String { prefix + "/var/run/t2d" }
  package var pidFile: String { run + "/t2d.pid" }
  /// See `AdapterStore`.
  package var adapters: String { run + "/adapters" }
  package var lock: String { state + "/lock" }
  package var catalogue: String { state + "/catalogue.sqlite" }
  package var cookies: String { state + "/cookies" }
  package var experts: String { prefix + "/var/spool/t2d/experts" }
  package var tasks: String { prefix + "/var/spool/t2d/tasks" }
  package var store: BlobStore { BlobStore(root: state) }

  /// Makes the directories that are not there, and checks that the private one is so.
  package func prepare() throws(DaemonError) {
    try prepareState()
    do throws(SystemCallError) {
      for path in [run, experts, tasks] { try FileSystem.createDirectories(path, mode: 0o755) }
      try FileSystem.createDirectories(FileSystem.split(socket).directory, mode: 0o755)
      try FileSystem.createDirectories(cookies, mode: 0o700)
    } catch {
      throw .files(error)
    }
  }

  /// The private directory alone.
  func prepareState() throws(DaemonError) {
    do throws(SystemCallError) {
      try FileSystem.createDirectories(FileSystem.split(state).directory, mode: 0o755)
      try FileSystem.createDirectories(state, mode: 0o700)
    } catch {
      throw .files(error)
    }
    try checkState()
  }

  private func checkState() throws(DaemonError) {
    let status: FileStatus?
    do { status = try FileSystem.status(state) } catch { throw .files(error) }
    guard let status, status.kind == .directory else {
      throw .unsafeState("'\(state)' is \(status?.kind.phrase ?? "gone"), it must be a directory")
    }
    let user = effectiveUser()
    guard status.owner == user else {
      throw .unsafeState(
        "'\(state)' belongs to uid \(status.owner), t2d runs as uid \(user); run it as that user, or: chown \(user) '\(state)'"
      )
    }
    guard status.mode & 0o777 == 0o700 else {
      throw .unsafeState(
        "'\(state)' has mode 0\(String(status.mode & 0o777, radix: 8)), and must be private to t2d; correct it with: "
          + "chmod 0700 '\(state)'")
    }
  }

  /// What is odd about the watched directories, for `status`.
  package func warnings() -> [DaemonWarning] {
    [experts, tasks].compactMap { path in
      guard let status = (try? FileSystem.status(path)) ?? nil, status.mode & 0o1002 == 0o0002 else { return nil }
      return DaemonWarning(
        code: "unsafe_directory", subject: path, message: "anyone can replace what others dropped into '\(path)'",
        help: "chmod o-w '\(path)', or chmod +t '\(path)'")
    }
  }
}

/// Something that needs a person's attention and stops nothing.
package struct DaemonWarning: Sendable, Equatable {
  package var code: String
  /// Which model, directory or file, where there may be a warning of this code about each.
  package var subject = ""
  package var message: String
  package var help: String

  func isAbout(_ subject: String, _ code: String) -> Bool {
    sameName(self.subject, subject) && sameName(self.code, code)
  }
}
