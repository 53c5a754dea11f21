import Glibc
import SystemSupport
import TestSupport

/// One thread of a running daemon, whose system calls strace(1) counts or makes fail; the other threads go on untouched.
struct FaultyThread {
  /// A call as strace names it, and which of its calls since strace was there.
  struct Point: Hashable, CustomStringConvertible {
    var call: String
    var number: Int
    /// The errno, such as "EIO"; without one the daemon is killed there.
    var error = ""
    /// Every call from that one on.
    var persists = false

    var description: String {
      error.isEmpty ? "SIGKILL at \(call) #\(number)" : "\(call) #\(number)\(persists ? "+" : "") = \(error)"
    }

    /// As strace takes it.
    var rule: String {
      let what = error.isEmpty ? "signal=SIGKILL" : "error=\(error)"
      return "inject=\(call):\(what):when=\(number)\(persists ? "+" : "")"
    }

    /// All of them with every error, once and from then on; or `sample` of those, evenly.
    static func chosen(of points: [Self], _ errors: [String], sample: Int) -> [Self] {
      var all: [Self] = []
      for point in points {
        for error in errors {
          all.append(Self(call: point.call, number: point.number, error: error))
          // A signal does not interrupt for ever, and by `write` the threads wake each other too.
          if error != "EINTR", point.call != "write", point.number == 1 {
            all.append(Self(call: point.call, number: 1, error: error, persists: true))
          }
        }
      }
      return chosen(of: all, sample: sample)
    }

    static func chosen(of all: [Self], sample: Int) -> [Self] {
      // Once, and not again on the real model's run.
      if longSweeps, realModel == nil { return all }
      let step = max(1, all.count / sample)
      return stride(from: step / 2, to: all.count, by: step).map { all[$0] }
    }
  }

  /// Whatever goes to a file. Not `close`, which strace skips and the kernel never does; not what gets memory, where every
  /// program of Swift ends.
  static let fileCalls = [
    "openat", "fstat", "newfstatat", "pread64", "pwrite64", "write", "fchmod", "fsync", "fdatasync", "fcntl", "linkat",
    "link", "rename", "renameat", "mkdir", "chmod", "getdents64", "ftruncate", "lseek", "access", "inotify_add_watch",
    "statfs", "fstatfs", "readlink", "unlink", "unlinkat",
  ]

  let process: Int32
  let thread: Int32
  private let output: String

  /// The thread of this name, as /proc names it.
  init(named name: String, of daemon: RunningDaemon) throws {
    process = daemon.process.processID
    output = daemon.prefix + "/strace"
    for entry in try FileSystem.entries("/proc/\(process)/task") {
      guard let text = entry.text, let number = Int32(text) else { continue }
      let comm = try FileSystem.readVirtual("/proc/\(process)/task/\(text)/comm")
      if String(decoding: comm, as: UTF8.self) == name + "\n" {
        thread = number
        return
      }
    }
    throw Failure("t2d has no thread '\(name)'")
  }

  /// Runs `body` under strace. Gives what it wrote, a call a line, with the paths of descriptors.
  private func traced(_ options: [String], _ body: () throws -> Void) throws -> [String] {
    _ = try FileSystem.remove(output)
    let strace = try ChildProcess(
      "/usr/bin/env",
      arguments: ["env", "strace", "-q", "-y", "-s", "0", "-o", output, "-p", "\(thread)"] + options,
      environment: ChildProcess.environment(), socket: nil)
    defer {
      // Which detaches it.
      strace.signal(SIGTERM)
      _ = strace.waitForExit(until: .after(.seconds(20)))
    }
    func isTraced() throws -> Bool {
      // A thread that is gone is traced by nobody.
      guard let status = try? FileSystem.readVirtual("/proc/\(process)/task/\(thread)/status") else { return false }
      return !String(decoding: status, as: UTF8.self).contains("TracerPid:\t0\n")
    }
    try eventually("strace is attached; etc/test installs it, and it needs root", within: .seconds(20)) {
      if let exit = strace.pollExit() {
        throw Failure("strace ended with \(exit); it must be installed, and may trace")
      }
      return try isTraced()
    }
    try body()
    strace.signal(SIGTERM)
    guard strace.waitForExit(until: .after(.seconds(20))) != nil else { throw Failure("strace does not end") }
    try eventually("strace is gone", within: .seconds(20)) { try !isTraced() }
    let text = try FileSystem.readAll(output, maximumBytes: 1 << 24)
    return String(decoding: text, as: UTF8.self).split(separator: "\n").map(String.init)
  }

  /// The calls of `calls` that the thread makes on files while `body` runs.
  func points(of calls: [String], during body: () throws -> Void) throws -> [Point] {
    var counts: [String: Int] = [:]
    var points: [Point] = []
    for line in try traced(["-e", "trace=" + calls.joined(separator: ",")], body) {
      let call = String(line.prefix { $0 != "(" })
      guard calls.contains(call) else { continue }
      counts[call, default: 0] += 1
      if Self.isOnFile(line) { points.append(Point(call: call, number: counts[call] ?? 0)) }
    }
    return points
  }

  /// Makes calls fail while `body` runs. False where one of them was not made, or was none on a file.
  func fails(at points: Point..., during body: () throws -> Void) throws -> Bool {
    let calls = Set(points.map(\.call)).joined(separator: ",")
    let lines = try traced(["-e", "trace=" + calls] + points.flatMap { ["-e", $0.rule] }, body)
      .filter { $0.contains("(INJECTED)") && Self.isOnFile($0) }
    return points.allSatisfy { point in lines.contains { $0.hasPrefix(point.call + "(") } }
  }

  /// Kills the daemon at one call while `body` runs, where that call is made.
  func kills(at point: Point, during body: () throws -> Void) throws {
    _ = try traced(["-e", "trace=\(point.call)", "-e", point.rule], body)
  }

  /// What the threads wake each other by, and standard error, do not fail.
  private static func isOnFile(_ line: String) -> Bool {
    !line.contains("<anon_inode:") && !line.contains("t2d.log>") && !line.contains("<socket:")
  }
}
