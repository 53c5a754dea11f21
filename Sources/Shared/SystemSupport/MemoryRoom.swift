import Glibc

/// How much memory this process may still take, by its limit on data (RLIMIT_DATA) and by that of its control group, as
/// systemd's `MemoryMax=` sets it. Whoever is about to take much asks before: beyond the first limit no memory is given,
/// and beyond the second the kernel ends the process.
///
/// Any thread may ask. What several take at once is not added up: an answer leaves ``margin`` free.
package struct MemoryRoom: Sendable {
  /// What no estimate has: stacks, small allocations, and what others take at the same time.
  package static let margin = 64 << 20

  /// What to do where there is too little, for people.
  package let advice: String
  /// Bytes that may still be taken; nil without a limit.
  private let measure: @Sendable () -> Int?
  /// Lets go of what only saves time.
  private var spare: @Sendable () -> Void = {}

  package init(advice: String, measure: @escaping @Sendable () -> Int?) {
    self.advice = advice
    self.measure = measure
  }

  package static let unlimited = MemoryRoom(advice: "") { nil }

  /// - Parameter dataLimit: that of RLIMIT_DATA; nil where none was set.
  package static func ofProcess(dataLimit: Int?, advice: String) -> MemoryRoom {
    let group = ControlGroup.ofProcess()
    guard dataLimit != nil || group?.limit != nil else { return .unlimited }
    return MemoryRoom(advice: advice) {
      let data = dataLimit.map { $0 - (ProcessMemory.of()?.data ?? 0) - margin }
      let resident = group?.room.map { $0 - margin }
      return [data, resident].compactMap { $0 }.min()
    }
  }

  /// Bytes that may still be taken: none where the limit is passed, `Int.max` where there is none.
  package var bytes: Int { measure().map { max(0, $0) } ?? .max }

  /// Where there is too little, what can be spared is let go first.
  package func has(_ needed: Int) -> Bool {
    if needed <= bytes { return true }
    spare()
    return needed <= bytes
  }

  /// The same room, for one who holds memory that others may need more.
  package func sparing(_ spare: @escaping @Sendable () -> Void) -> MemoryRoom {
    var room = self
    room.spare = spare
    return room
  }
}

/// The control group of a process, version 2, and those that hold it.
package struct ControlGroup: Sendable {
  /// The directories in which the kernel shows them, the process's own first.
  private let directories: [String]

  /// Nil where version 2 is not mounted.
  package static func ofProcess(root: String = "/sys/fs/cgroup") -> ControlGroup? {
    guard let bytes = try? FileSystem.readVirtual("/proc/self/cgroup") else { return nil }
    return ControlGroup(processText: String(decoding: bytes, as: UTF8.self), root: root)
  }

  /// From the text of /proc/PID/cgroup, whose line of version 2 begins with `0::`.
  package init?(processText: String, root: String) {
    guard let line = processText.split(separator: "\n").first(where: { $0.hasPrefix("0::/") }) else { return nil }
    var parts = line.dropFirst(4).split(separator: "/")
    var directories = [root]
    // A path that leads out of what this process sees has no files here.
    guard !parts.contains("..") else { return nil }
    while !parts.isEmpty {
      directories.insert(root + "/" + parts.joined(separator: "/"), at: directories.count - 1)
      parts.removeLast()
    }
    self.directories = directories
  }

  /// memory.max of the group and of all above it: the least; nil where none has one.
  package var limit: Int? { directories.compactMap(Self.limit).min() }

  /// What may still be taken without the kernel ending somebody: page cache, which it takes back, does not count. Nil where
  /// there is no limit.
  package var room: Int? {
    directories.compactMap { directory in
      guard let limit = Self.limit(directory) else { return nil }
      return limit - Self.held(directory)
    }.min()
  }

  private static func limit(_ directory: String) -> Int? { number(directory + "/memory.max") }

  /// Bytes that only swapping could take away.
  private static func held(_ directory: String) -> Int {
    guard let text = text(directory + "/memory.stat") else { return number(directory + "/memory.current") ?? 0 }
    return text.split(separator: "\n").reduce(0) { sum, line in
      let words = line.split(separator: " ")
      guard words.count == 2, ["anon", "shmem", "kernel"].contains(words[0]), let value = Int(words[1]) else {
        return sum
      }
      return sum + value
    }
  }

  private static func number(_ path: String) -> Int? {
    text(path).flatMap { Int($0.split(separator: "\n").first ?? "") }
  }

  private static func text(_ path: String) -> String? {
    (try? FileSystem.readVirtual(path)).map { String(decoding: $0, as: UTF8.self) }
  }
}

/// 1,234,567 as 2 MB: rounded up, for messages.
package func megabytesText(_ bytes: Int) -> String { "\(bytes / 1_000_000 + (bytes % 1_000_000 > 0 ? 1 : 0)) MB" }

/// Bytes of memory of this machine.
package var machineMemory: Int { sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)) }
