import Glibc
import SystemSupport

/// What all processors have done since the machine started, in the kernel's ticks (man 5 proc, /proc/stat).
struct ProcessorUse: Equatable {
  var busy: Int
  var idle: Int

  static func now() -> ProcessorUse? {
    guard let text = try? FileSystem.readVirtual("/proc/stat") else { return nil }
    return ProcessorUse(statText: String(decoding: text, as: UTF8.self))
  }

  /// "cpu  user nice system idle iowait irq softirq steal guest guest_nice": guests are in user, and waiting is idle.
  init?(statText: String) {
    guard let line = statText.split(separator: "\n").first(where: { $0.hasPrefix("cpu ") }) else { return nil }
    let ticks = line.split(separator: " ").dropFirst().prefix(8).compactMap { Int($0) }
    guard ticks.count >= 4 else { return nil }
    idle = ticks[3] + (ticks.count > 4 ? ticks[4] : 0)
    busy = ticks.reduce(0, +) - idle
  }

  /// Which share of the processors was at work from an earlier moment to this one.
  func share(since earlier: ProcessorUse) -> Double {
    let (work, rest) = (Double(busy - earlier.busy), Double(idle - earlier.idle))
    return work + rest > 0 ? work / (work + rest) : .nan
  }

  /// The share that others use: this process sleeps for a second meanwhile.
  static func ofOthers() -> Double {
    guard let before = now() else { return .nan }
    _ = poll(nil, 0, 1000)
    return now()?.share(since: before) ?? .nan
  }
}
