import Glibc

/// Lines for the operator on stderr: one line a fact, `key=value` pairs behind it, one `write` each.
///
/// Under the journal a line begins with its syslog priority (`<4>`, man 3 sd-daemon) and the journal keeps the time;
/// elsewhere with the time (UTC) and the level's name. Values from outside are escaped here, so callers pass them raw.
/// A line that repeats (the same reject at every rescan) appears once a minute, with the number of the hidden ones.
package final class Logger: Sendable {
  package enum Level: Int, Sendable, Comparable, CaseIterable {
    case error = 3, warning, notice, info, debug

    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    package var name: String {
      switch self {
      case .error: "error"
      case .warning: "warning"
      case .notice: "notice"
      case .info: "info"
      case .debug: "debug"
      }
    }

    package init?(name: String) {
      guard let level = Self.allCases.first(where: { $0.name == name }) else { return nil }
      self = level
    }
  }

  package typealias Fields = KeyValuePairs<String, any CustomStringConvertible & Sendable>

  /// Lines above this level (less grave) are dropped before they are built.
  package let threshold: Level
  private let journal: Bool
  private let repeatPeriod: Duration
  private let sink: @Sendable ([UInt8]) -> Void
  private let recent = Mutex(RecentLines())

  /// `journal` nil asks the environment. `sink` gets whole lines with their newline; it may be called from any thread.
  package init(
    threshold: Level = .info, journal: Bool? = nil, repeatPeriod: Duration = .seconds(60),
    sink: (@Sendable ([UInt8]) -> Void)? = nil
  ) {
    self.threshold = threshold
    self.journal = journal ?? Self.standardErrorIsJournal
    self.repeatPeriod = repeatPeriod
    self.sink = sink ?? Self.writeToStandardError
  }

  /// Says nothing: for code that is used without an operator.
  package static let silent = Logger(threshold: .error, journal: false, sink: { _ in })

  package func error(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> Fields = [:]) {
    log(.error, message(), fields())
  }
  package func warning(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> Fields = [:]) {
    log(.warning, message(), fields())
  }
  package func notice(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> Fields = [:]) {
    log(.notice, message(), fields())
  }
  package func info(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> Fields = [:]) {
    log(.info, message(), fields())
  }
  package func debug(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> Fields = [:]) {
    log(.debug, message(), fields())
  }

  package func log(
    _ level: Level, _ message: @autoclosure () -> String, _ fields: @autoclosure () -> Fields = [:]
  ) {
    guard level <= threshold else { return }
    var text = escaped(message(), limit: 2048)
    for (key, value) in fields() { text += " \(key)=\(Self.fieldText("\(value)"))" }
    let now = MonotonicInstant.now
    let hidden = recent.withLock { $0.admit(text, at: now, period: repeatPeriod) }
    guard let hidden else { return }
    if hidden > 0 { text += " repeated=\(hidden)" }
    let head = journal ? "<\(level.rawValue)>" : "\(Self.timestamp()) \(level.name) "
    sink(Array((head + text + "\n").utf8))
  }

  /// A value as it stands behind `=`: quoted where it would not read as one word.
  package static func fieldText(_ value: String) -> String {
    let safe = escaped(value, limit: 1024)
    let plain = !safe.isEmpty && safe.utf8.allSatisfy { $0 != 0x20 && $0 != 0x22 && $0 != 0x3D }
    if plain { return safe }
    var quoted = "\""
    for character in safe.unicodeScalars {
      if character == "\"" { quoted += "\\\"" } else { quoted.unicodeScalars.append(character) }
    }
    return quoted + "\""
  }

  /// Whether stderr is the journal's stream: `JOURNAL_STREAM` holds its device and inode (man 5 systemd.exec).
  static var standardErrorIsJournal: Bool {
    guard let value = environmentVariable("JOURNAL_STREAM") else { return false }
    let parts = value.split(separator: ":", maxSplits: 1)
    var status = stat()
    guard parts.count == 2, unsafe fstat(2, &status) == 0 else { return false }
    return UInt64(parts[0]) == UInt64(status.st_dev) && UInt64(parts[1]) == UInt64(status.st_ino)
  }

  /// "2026-01-31T12:00:00.123Z", without the weight of a calendar library.
  package static func timestamp() -> String {
    var time = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &time)
    var parts = unsafe tm()
    unsafe gmtime_r(&time.tv_sec, &parts)
    func padded(_ number: Int, _ width: Int) -> String {
      let digits = String(number)
      return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
    }
    let date = unsafe "\(parts.tm_year + 1900)-\(padded(Int(parts.tm_mon) + 1, 2))-\(padded(Int(parts.tm_mday), 2))"
    let clock =
      unsafe "\(padded(Int(parts.tm_hour), 2)):\(padded(Int(parts.tm_min), 2)):\(padded(Int(parts.tm_sec), 2))"
    return "\(date)T\(clock).\(padded(time.tv_nsec / 1_000_000, 3))Z"
  }

  private static func writeToStandardError(_ line: [UInt8]) {
    // Nobody is left to tell where this fails.
    _ = unsafe write(2, line, line.count)
  }
}

/// The lines of the last while, to hide repetitions; bounded.
private struct RecentLines {
  private struct Entry {
    var since: MonotonicInstant
    var hidden: Int
  }

  private var entries: [String: Entry] = [:]
  private let capacity = 256

  /// How many equal lines were hidden before this one, or nil where this one is to be hidden.
  mutating func admit(_ text: String, at now: MonotonicInstant, period: Duration) -> Int? {
    if let entry = entries[text], now - entry.since < period {
      entries[text]?.hidden += 1
      return nil
    }
    let hidden = entries[text]?.hidden ?? 0
    if entries.count >= capacity { entries = entries.filter { now - $0.value.since < period } }
    if entries.count >= capacity { entries.removeAll(keepingCapacity: true) }
    entries[text] = Entry(since: now, hidden: 0)
    return hidden
  }
}
