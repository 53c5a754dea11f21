import Glibc
import RPCClient
import RPCProtocol
import Records
import ResultText
import Results
import StrictJSON
import SystemSupport

extension Invocation {
  /// Waits until a job has ended and returns it as `job.show` would. On a terminal a bar moves meanwhile, elsewhere
  /// there is a line every ten per cent. Ctrl-C leaves the job running and says so.
  func waitForJob(_ number: Int64) throws(ControlError) -> Answer<Job> {
    let client = try client()
    let deadline = command.timeout.map { Deadline.after($0) } ?? .never
    // From here on the signal is read instead of ending the process, so that the line on the terminal is finished.
    let interrupts = try? SignalDescriptor([SIGINT])
    var progress = ProgressLine(console: console)
    while true {
      var slice = Duration.milliseconds(250)
      if let remaining = deadline.remaining { slice = max(.milliseconds(1), min(slice, remaining)) }
      let job: Answer<Job>
      do {
        job = try client.call(
          JobWait.self, ["job": .integer(number), "timeout_ms": .integer(slice.inNanoseconds / 1_000_000)],
          timeout: slice + .seconds(30))
      } catch {
        progress.finish()
        throw .client(error)
      }
      switch job.row.state {
      case .done:
        progress.show(job.row)
        progress.finish()
        return job
      case .failed, .cancelled:
        progress.finish()
        throw .failed(
          "job \(number) \(job.row.state == .failed ? "failed" : "was cancelled")"
            + (job.row.error.map { ": \($0.message)" } ?? "") + (job.value.curveHint ?? ""))
      case .queued, .running, .interrupted: progress.show(job.row)
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

  /// For a verb that has started a job: waits for it and shows its result, or shows its number where it is told not to
  /// wait. Returns the result, where there is one.
  @discardableResult
  func finish<Started, Result: JobResult>(
    _ started: Answer<Started>, job: Int64, _ type: Result.Type, _ show: (Result) -> Void
  ) throws(ControlError) -> Result? {
    guard command.waits else {
      answer(started) { _ in console.print("job \(job)") }
      return nil
    }
    let json = try waitForJob(job).result ?? .null
    let result = try read(json, as: type, of: JobWait.name)
    answer(json) { show(result) }
    return result
  }
}

extension Invocation {
  /// For verbs that read their job's result themselves.
  func jobToWaitFor(_ number: Int64?) throws(ControlError) -> JSONValue? {
    guard command.waits, let number else { return nil }
    return try waitForJob(number).json
  }
}

extension Job {
  /// Of a training that ended badly: that there is a curve all the same.
  fileprivate var curveHint: String? {
    guard let result, let left = try? RecordReader(unknownMembers: .ignored).read(result, as: UnfinishedTraining.self)
    else { return nil }
    return "\nits curve has \(left.curve.count) points; see them with: t2ctl job show \(row.job)"
  }
}

/// One line about a running job, rewritten in place on a terminal.
struct ProgressLine {
  private let console: Console
  private var shownTenth = -1
  private var lastPhase = ""
  private var isOpen = false

  init(console: Console) { self.console = console }

  mutating func show(_ job: JobRow) {
    let phase = job.state == .queued ? "queued" : job.phase ?? ""
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
  static func plain(_ job: JobRow) -> String {
    parts(job, detail: escaped(job.detail ?? "")).joined(separator: ", ")
  }

  /// A bar, and after it what is known; where the width is short the detail gives way, not the time that is left.
  static func text(_ job: JobRow, columns: Int, drawsBlocks: Bool) -> String {
    let width = columns >= 72 ? 24 : 10
    let filled = Int(fraction(job) * Double(width))
    let (full, empty) = drawsBlocks ? ("━", "─") : ("#", ".")
    let bar = String(repeating: full, count: filled) + String(repeating: empty, count: width - filled)
    func line(_ parts: [String]) -> String { bar + " " + parts.joined(separator: "  ") }
    let without = line(parts(job, detail: nil))
    let room = columns - 1 - without.count - 2
    var detail = escaped(job.detail ?? "")
    if detail.count > room { detail = room > 8 ? detail.prefix(room - 1) + "…" : "" }
    let shown = detail.isEmpty ? without : line(parts(job, detail: detail))
    return shown.count < columns ? shown : String(shown.prefix(columns - 1))
  }

  static func percent(_ job: JobRow) -> String { "\(Int((fraction(job) * 100).rounded(.down))) %" }

  private static func fraction(_ job: JobRow) -> Double { min(1, max(0, job.fraction)) }

  private static func parts(_ job: JobRow, detail: String?) -> [String] {
    var parts = [percent(job)]
    if job.state == .queued {
      parts.append("queued")
    } else if let phase = job.phase, !phase.isEmpty {
      parts.append(escaped(phase))
    }
    if let detail, !detail.isEmpty { parts.append(detail) }
    if let best = job.best { parts.append("best \(cell(best))") }
    if let left = job.etaSeconds, job.state == .running { parts.append("\(secondsText(left)) left") }
    return parts
  }
}
