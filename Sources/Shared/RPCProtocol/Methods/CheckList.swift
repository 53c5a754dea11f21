package import Records
package import Results
package import Settings

package enum CheckList: RPCMethodDeclaration {
  package static let name = "check.list"
  package static let access = RPCMethod.Access.read
  package static let verb = "check list"
  package static let summary = "The newest checks, and those that are on their way."

  package struct Parameters: Record {
    @Setting("only those of this expert") package var expert: String?
    @Included package var page = PageParameters()
    package init() {}
  }

  package struct Result: PagedResult, Equatable {
    package var checks: [CheckRow]
    package var pending: [Pending]
    package var next: String?

    package init(checks: [CheckRow], pending: [Pending], next: String? = nil) {
      (self.checks, self.pending, self.next) = (checks, pending, next)
    }

    package mutating func append(_ page: Self) {
      checks += page.checks
      pending += page.pending
      next = page.next
    }

    package var rowCount: Int { checks.count + pending.count }
  }

  package struct Pending: Codable, Sendable, Equatable {
    package var job: Int64
    package var kind: CheckKind
    package var expert: String
    package var version: Int
    @NullWhenAbsent package var model: String?
    @NullWhenAbsent package var task: String?
    package var state: JobState
    package var fraction: Double
    package var reason: String

    package init(
      job: Int64, kind: CheckKind, expert: String, version: Int, model: String? = nil, task: String? = nil,
      state: JobState, fraction: Double, reason: String
    ) {
      (self.job, self.kind, self.expert, self.version, self.state, self.fraction, self.reason) = (
        job, kind, expert, version, state, fraction, reason
      )
      self.model = model
      self.task = task
    }
  }
}

/// A check in short: the numbers are those against the shuffles, by the task's own metric.
package struct CheckRow: Codable, Sendable, Equatable {
  /// Its number.
  package var check: Int64
  package var kind: CheckKind
  package var expert: String
  package var version: Int
  package var model: String
  package var task: String
  package var verdict: CheckVerdict
  package var passes: Bool
  package var metric: String
  package var n: Int
  package var split: RowSplit
  package var p: Double
  package var effect: Double
  package var ci95: Interval
  package var scores: CheckResult.Outcome.Scores
  package var action: CheckAction
  package var job: Int64
  package var time: String

  package init(
    check: Int64, kind: CheckKind, expert: String, version: Int, model: String, task: String, verdict: CheckVerdict,
    passes: Bool, metric: String, n: Int, split: RowSplit, p: Double, effect: Double, ci95: Interval,
    scores: CheckResult.Outcome.Scores, action: CheckAction, job: Int64, time: String
  ) {
    (self.check, self.kind, self.expert, self.version, self.model, self.task, self.verdict, self.passes) = (
      check, kind, expert, version, model, task, verdict, passes
    )
    (self.metric, self.n, self.split, self.p, self.effect, self.ci95, self.scores, self.action) = (
      metric, n, split, p, effect, ci95, scores, action
    )
    (self.job, self.time) = (job, time)
  }
}
