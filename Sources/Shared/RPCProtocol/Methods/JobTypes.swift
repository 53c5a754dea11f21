package import Records
package import Results
package import Settings
package import StrictJSON

/// A job as lists show it. Moments are the daemon's: 2026-01-31T12:00:00.123Z.
package struct JobRow: Codable, Sendable, Equatable {
  package struct Failure: Codable, Sendable, Equatable {
    package var kind: String
    package var message: String

    package init(kind: String, message: String) {
      self.kind = kind
      self.message = message
    }
  }

  package var job: Int64
  package var kind: JobKind
  package var state: JobState
  @NullWhenAbsent package var task: String?
  @NullWhenAbsent package var model: String?
  package var attempts: Int
  /// 0 to 1.
  package var fraction: Double
  package var created: String
  @NullWhenAbsent package var started: String?
  @NullWhenAbsent package var ended: String?
  package var reason: String
  // While it runs.
  package var phase: String?
  package var detail: String?
  /// In the task's metric.
  package var best: Double?
  package var etaSeconds: Double?
  /// Of a job that ended badly.
  package var error: Failure?

  package init(
    job: Int64, kind: JobKind, state: JobState, task: String?, model: String?, attempts: Int, fraction: Double,
    created: String, started: String?, ended: String?, reason: String, error: Failure?
  ) {
    self.job = job
    self.kind = kind
    self.state = state
    self.task = task
    self.model = model
    self.attempts = attempts
    self.fraction = fraction
    self.created = created
    self.started = started
    self.ended = ended
    self.reason = reason
    self.error = error
  }
}

/// A job with what it was asked and what it came to.
package struct Job: Codable, Sendable, Equatable {
  @Flattened package var row: JobRow
  package var who: String
  /// Of its kind, without the daemon's own paths.
  package var spec: JSONObject
  /// What a user asked beyond the defaults.
  package var options: JSONObject?
  /// Of its kind too; of one that ended badly, what there is of it.
  package var result: JSONValue?

  package init(row: JobRow, who: String, spec: JSONObject, options: JSONObject?, result: JSONValue?) {
    self.row = row
    self.who = who
    self.spec = spec
    self.options = options
    self.result = result
  }
}
