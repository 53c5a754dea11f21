import Glibc
import RPCClient
import ResultText
import StrictJSON
import SystemSupport

extension Invocation {
  /// Waits until a job has ended and returns it as `job.show` would. On a terminal a bar moves meanwhile, elsewhere
  /// there is a line every ten per cent. Ctrl-C leaves the job running and says so.
  func waitForJob(_ number: Int64) throws(ControlError) -> JSONValue {
    let client = try client()
    let deadline = command.timeout.map { Deadline.after($0) } ?? .never
    // From here on the signal is read instead of ending the process, so that the line on the terminal is finished.
    let interrupts = try? SignalDescriptor([SIGINT])
    var progress = ProgressLine(console: console)
    while true {
      var slice = Duration.milliseconds(250)
      if let remaining = deadline.remaining { slice = max(.milliseconds(1), min(slice, remaining)) }
      let job: JSONValue
      do {
        job = try client.call(
          "job.wait", ["job": .integer(number), "timeout_ms": .integer(slice.inNanoseconds / 1_000_000)],
          timeout: slice + .seconds(30))
      } catch {
        progress.finish()
        throw .client(error)
      }
      switch job["state"]?.stringValue {
      case "done":
        progress.show(job)
        progress.finish()
        return job
      case "failed", "cancelled":
        progress.finish()
        let state = job["state"]?.stringValue ?? ""
        let reason = job["error"]?["message"]?.stringValue
        let curve = job["result"]?["curve"]?.arrayValue
        throw .failed(
          "job \(number) \(state == "failed" ? "failed" : "was cancelled")" + (reason.map { ": \($0)" } ?? "")
            + (curve.map { "\nits curve has \($0.count) points; see them with: t2ctl job show \(number)" } ?? ""))
      default: progress.show(job)
      }
      if (try? interrupts?.next()) ?? nil != nil {
        progress.finish()
        throw .interrupted("job \(number) goes on; see it with: t2ctl job wait \(number)")
      }
      if deadline.hasPassed {
        progress.finish()
        throw .timedOut("job \(number) has not ended in time, and goes on; see it with: t2ctl job wait \(number)")
      }
    }
  }

  /// For a verb whose result may name a job: waits for it unless told not to. Nil where there is none to wait for.
  func jobToWaitFor(_ result: JSONValue) throws(ControlError) -> JSONValue? {
    try jobToWaitFor(result["job"]?.integerValue)
  }

  func jobToWaitFor(_ number: Int64?) throws(ControlError) -> JSONValue? {
    guard command.waits, let number else { return nil }
    return try waitForJob(number)
  }
}

/// One line about a running job, rewritten in place on a terminal.
struct ProgressLine {
  private let console: Console
  private var shownTenth = -1
  private var lastPhase = ""
  private var isOpen = false

  init(console: Console) { self.console = console }

  mutating func show(_ job: JSONValue) {
    let phase = job["state"] == "queued" ? "queued" : job["phase"]?.stringValue ?? ""
    if console.error.isTerminal {
      isOpen = true
      console.error.write(
        "\r\u{1b}[K"
          + Self.text(job, columns: console.error.columns ?? 80, drawsBlocks: console.drawsBlocks))
      return
    }
    let tenth = Int(Self.fraction(job) * 10)
    guard tenth > shownTenth || phase != lastPhase else { return }
    shownTenth = tenth
    lastPhase = phase
    console.note(Self.plain(job))
  }

  mutating func finish() {
    if isOpen { console.note("") }
    isOpen = false
  }

  /// What is known of a job, without a bar: for a pipe.
  static func plain(_ job: JSONValue) -> String {
    parts(job, detail: escaped(job["detail"]?.stringValue ?? "")).joined(separator: ", ")
  }

  /// A bar, and after it what is known; where the width is short the detail gives way, not the time that is left.
  static func text(_ job: JSONValue, columns: Int, drawsBlocks: Bool) -> String {
    let width = columns >= 72 ? 24 : 10
    let filled = Int(fraction(job) * Double(width))
    let (full, empty) = drawsBlocks ? ("━", "─") : ("#", ".")
    let bar = String(repeating: full, count: filled) + String(repeating: empty, count: width - filled)
    func line(_ parts: [String]) -> String { bar + " " + parts.joined(separator: "  ") }
    let without = line(parts(job, detail: nil))
    let room = columns - 1 - without.count - 2
    var detail = escaped(job["detail"]?.stringValue ?? "")
    if detail.count > room { detail = room > 8 ? detail.prefix(room - 1) + "…" : "" }
    let shown = detail.isEmpty ? without : line(parts(job, detail: detail))
    return shown.count < columns ? shown : String(shown.prefix(columns - 1))
  }

  static func percent(_ job: JSONValue) -> String { "\(Int((fraction(job) * 100).rounded(.down))) %" }

  private static func fraction(_ job: JSONValue) -> Double { min(1, max(0, job["fraction"]?.doubleValue ?? 0)) }

  private static func parts(_ job: JSONValue, detail: String?) -> [String] {
    var parts = [percent(job)]
    if job["state"] == "queued" {
      parts.append("queued")
    } else if let phase = job["phase"]?.stringValue, !phase.isEmpty {
      parts.append(escaped(phase))
    }
    if let detail, !detail.isEmpty { parts.append(detail) }
    if let best = job["best"], best != .null {
      let score = best["score"] ?? best
      if score.doubleValue != nil || score.stringValue != nil { parts.append("best \(escaped(score.cell))") }
    }
    if let left = job["eta_seconds"]?.doubleValue, job["state"] == "running" {
      parts.append("\(secondsText(left)) left")
    }
    return parts
  }
}
