import Glibc
import SystemSupport

/// What may not be left of a daemon, looked for from the outside: lines of its log, descriptors, processes, files.
package enum Leftovers {
  // MARK: - The log

  /// What is wrong with a log: each line that is a warning or worse, or none of ours at all, and names nothing of what is
  /// expected; and each expectation that no line names.
  package static func faults(ofLog text: String, expected: [String]) -> [String] {
    let lines = text.split(separator: "\n").map(String.init)
    let grave = lines.filter { line in
      let words = line.split(separator: " ", maxSplits: 2)
      let level = words.count > 1 ? String(words[1]) : ""
      return Logger.Level(name: level).map { $0 <= .warning } ?? true
    }
    return grave.filter { line in !expected.contains { line.contains($0) } }.map { "the log has: \($0)" }
      + expected.filter { text in !grave.contains { $0.contains(text) } }
      .map { "the log has no warning and no error with '\($0)'" }
  }

  // MARK: - Descriptors

  /// How many descriptors of each kind a process has open: "socket", "anon_inode:[eventfd]", the path of a file.
  package static func descriptors(of process: Int32 = getpid()) -> [String: Int] {
    links(of: process).values.reduce(into: [:]) { kinds, link in
      // "socket:[1234]" and "pipe:[1234]" name an inode.
      let isNumbered = link.hasPrefix("socket:[") || link.hasPrefix("pipe:[")
      kinds[isNumbered ? String(link.prefix { $0 != ":" }) : link, default: 0] += 1
    }
  }

  /// The descriptors of this process that lead below a directory: its files, sockets that are bound there (with the
  /// accepted ones), inotify instances that watch a directory of it. What other tests of the process have open is theirs.
  package static func descriptors(below directory: String) throws -> [String] {
    var found = links(of: getpid()).values.filter { $0.hasPrefix(directory + "/") }
    let sockets = String(decoding: try FileSystem.readVirtual("/proc/net/unix", maximumBytes: 1 << 24), as: UTF8.self)
    found += sockets.split(separator: "\n").filter { $0.contains(" \(directory)/") }.map { "socket \($0)" }
    var inodes: Set<UInt64> = []
    try forEachEntry(below: directory) { path, status in
      if status.kind == .directory { inodes.insert(status.identity.inode) }
    }
    for (number, link) in links(of: getpid()) where link == "anon_inode:inotify" {
      let info = (try? FileSystem.readVirtual("/proc/self/fdinfo/\(number)")) ?? []
      // "inotify wd:1 ino:9e7e sdev:800013 …", in base 16 (man 5 proc_pid_fdinfo).
      let watched = String(decoding: info, as: UTF8.self).split(separator: " ").filter { $0.hasPrefix("ino:") }
      if watched.contains(where: { inodes.contains(UInt64($0.dropFirst(4), radix: 16) ?? 0) }) {
        found.append("inotify \(number)")
      }
    }
    return found
  }

  private static func links(of process: Int32) -> [String: String] {
    var links: [String: String] = [:]
    for entry in (try? FileSystem.entries("/proc/\(process)/fd")) ?? [] {
      guard let number = entry.text else { continue }
      var buffer = [CChar](repeating: 0, count: 4096)
      let count = unsafe readlink("/proc/\(process)/fd/\(number)", &buffer, buffer.count)
      // Closed meanwhile, as the one that the listing itself was read by.
      guard count > 0 else { continue }
      links[number] = String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
    return links
  }

  // MARK: - Processes

  /// The processes whose command line or environment has this text, with their command lines.
  package static func processes(naming text: String) throws -> [String] {
    try FileSystem.entries("/proc").compactMap { entry in
      guard let name = entry.text, let number = Int32(name), number != getpid() else { return nil }
      func read(_ file: String) -> String {
        String(
          decoding: (try? FileSystem.readVirtual("/proc/\(number)/\(file)", maximumBytes: 1 << 20)) ?? [],
          as: UTF8.self)
      }
      let command = read("cmdline")
      guard command.contains(text) || read("environ").contains(text) else { return nil }
      return "\(number) \(command.split(separator: "\0").joined(separator: " "))"
    }
  }

  // MARK: - Files

  /// What a daemon that has ended may not leave below its prefix: anything in the runtime directory but adapters, which
  /// engines go on using, in staging or among the cookies, what does not belong to the store, and temporary names anywhere.
  package static func files(ofPrefix prefix: String) throws -> [String] {
    let state = prefix + "/var/lib/t2d"
    let empty = [prefix + "/var/run/t2d", prefix + "/tmp", state + "/staging", state + "/cookies"]
    let store: Set = [
      "backups", "blobs", "catalogue.sqlite", "cookies", "factorizations", "lock", "quarantine", "redo", "staging",
      "tasks", "versions.jsonl",
      "trainings",
    ]
    var found: [String] = []
    try forEachEntry(below: prefix) { path, _ in
      let (directory, name) = FileSystem.split(path)
      let isStrange = directory == state && !store.contains(name)
      if path == empty[0] + "/adapters" { return }
      if empty.contains(directory) || isStrange || name.hasPrefix(".") { found.append(path) }
    }
    return found
  }

  private static func forEachEntry(below directory: String, _ body: (String, FileStatus) -> Void) throws {
    for entry in (try? FileSystem.entries(directory)) ?? [] {
      let path = directory + "/" + (entry.text ?? "\(entry.name)")
      guard let status = try FileSystem.status(path) else { continue }
      body(path, status)
      if status.kind == .directory { try forEachEntry(below: path, body) }
    }
  }
}
