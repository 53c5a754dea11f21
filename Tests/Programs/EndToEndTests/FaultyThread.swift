import Glibc
import SystemSupport
import TestSupport

/// One thread of a running daemon, whose system calls strace(1) counts or makes fail; the other threads go on untouched.
struct FaultyThread {
  /// A call as strace names it, and which of its calls since strace was there.
  struct Point: Hashable, CustomStringConvertible {
    var call: String
    var number: Int
    /// The errno, such as "EIO".
    var error = ""
    /// Every call from that one on.
    var persists = false

    var description: String { "\(call) #\(number)\(persists ? "+" : "") = \(error)" }
  }

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
      let status = try FileSystem.readVirtual("/proc/\(process)/task/\(thread)/status")
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

  /// Makes one call fail while `body` runs. False where that call was not made, or was none on a file.
  func fails(at point: Point, during body: () throws -> Void) throws -> Bool {
    let rule = "inject=\(point.call):error=\(point.error):when=\(point.number)\(point.persists ? "+" : "")"
    let lines = try traced(["-e", "trace=\(point.call)", "-e", rule], body).filter { $0.contains("(INJECTED)") }
    return lines.contains(where: Self.isOnFile)
  }

  /// What the threads wake each other by, and standard error, do not fail.
  private static func isOnFile(_ line: String) -> Bool {
    !line.contains("<anon_inode:") && !line.contains("t2d.log>") && !line.contains("<socket:")
  }
}
