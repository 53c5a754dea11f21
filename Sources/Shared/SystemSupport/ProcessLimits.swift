import CLinux
import Glibc

/// What a worker imposes on itself, first thing in its `main`, before it allocates or starts a thread.
///
/// By itself and not by its parent: posix_spawn cannot set limits, and a fork of a process with threads may not
/// allocate before exec.
package struct ProcessLimits: Sendable, Equatable {
  /// Added to the nice value; the kernel allows no way back without privilege.
  package var niceness: Int32 = 0
  /// Heap and private writable mappings, in bytes; mapped files do not count (RLIMIT_DATA). nil leaves it.
  package var dataBytes: UInt64?
  /// The scheduler treats the process as one that computes and does not wait (SCHED_BATCH).
  package var batchScheduling = false
  /// Sent when the *thread* that started this process ends (man 2 prctl), so that thread must live as long as the
  /// parent's work. 0 for none.
  package var parentDeathSignal: Int32 = 0
  /// No core files: they would hold weights and prompts.
  package var coreFiles = false

  package init() {}

  package func applyToSelf() throws(SystemCallError) {
    if parentDeathSignal != 0 {
      try systemCall("ask for a signal at the parent's end") { t2_set_parent_death_signal(parentDeathSignal) }
      // The parent may have ended before the call; then the child was adopted and no signal will come.
      if getppid() == 1 { throw SystemCallError("start under a parent", number: ESRCH, hint: "the parent has ended") }
    }
    if niceness != 0 { try systemCall("set the nice value to \(niceness)") { t2_set_nice(niceness) } }
    if batchScheduling { try systemCall("ask for batch scheduling") { t2_set_batch_scheduling() } }
    if let dataBytes { try systemCall("limit the data to \(dataBytes) bytes") { t2_limit_data(dataBytes) } }
    if !coreFiles { try systemCall("forbid core files") { t2_limit_core(0) } }
    try systemCall("give up new privileges") { t2_set_no_new_privileges() }
  }
}

/// The memory of a process, in bytes, as /proc tells it.
package struct ProcessMemory: Sendable, Equatable {
  /// VmRSS: what is in memory, mapped files included.
  package var resident: Int
  /// RssAnon: what of it is its own, which only swapping could take away.
  package var anonymous: Int
  /// RssFile: what of it is files that are mapped; the kernel may drop it where it was not written to.
  package var mapped: Int
  /// VmHWM: the most that was ever resident.
  package var peak: Int
  /// VmData: what RLIMIT_DATA counts.
  package var data: Int

  /// Large arrays go back to the system when they are freed: before the first thread, in a process that runs long and needs
  /// them rarely. Left to itself glibc keeps what was freed once, and what is small and stays comes to lie in between (man 3
  /// mallopt, M_MMAP_THRESHOLD).
  package static func returnLargeAllocations() {
    let isTaken = t2_return_allocations_from(64 << 10) != 0
    precondition(isTaken, "glibc knows no such bound")
  }

  /// nil where the process is gone or /proc is not there.
  package static func of(_ process: Int32? = nil) -> ProcessMemory? {
    let path = "/proc/\(process.map { "\($0)" } ?? "self")/status"
    guard let bytes = try? FileSystem.readVirtual(path) else { return nil }
    return ProcessMemory(statusText: String(decoding: bytes, as: UTF8.self))
  }

  /// From the text of /proc/PID/status.
  package init?(statusText: String) {
    var values: [Substring: Int] = [:]
    for line in statusText.split(separator: "\n") {
      guard let colon = line.firstIndex(of: ":") else { continue }
      let words = line[line.index(after: colon)...].split { $0 == " " || $0 == "\t" }
      guard words.count == 2, words[1] == "kB", let kilobytes = Int(words[0]) else { continue }
      let (bytes, overflow) = kilobytes.multipliedReportingOverflow(by: 1024)
      if !overflow { values[line[..<colon]] = bytes }
    }
    guard let resident = values["VmRSS"], let peak = values["VmHWM"] else { return nil }
    self.resident = resident
    self.peak = peak
    anonymous = values["RssAnon"] ?? 0
    mapped = values["RssFile"] ?? 0
    data = values["VmData"] ?? 0
  }
}
