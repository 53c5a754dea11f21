package import Records
package import Settings

package enum TaskList: RPCMethodDeclaration {
  package static let name = "task.list"
  package static let access = RPCMethod.Access.read
  package static let verb = "task list"
  package static let summary = "The tasks and the state of their mixtures."

  package struct Parameters: Record {
    @Included package var page = PageParameters()
    package init() {}
  }

  package struct Result: PagedResult, Equatable {
    package var tasks: [TaskRow]
    package var rejected: [IngestRow]
    package var next: String?

    package init(tasks: [TaskRow], rejected: [IngestRow], next: String? = nil) {
      (self.tasks, self.rejected, self.next) = (tasks, rejected, next)
    }

    package mutating func append(_ page: Self) {
      tasks += page.tasks
      rejected += page.rejected
      next = page.next
    }

    package var rowCount: Int { tasks.count + rejected.count }
  }
}

/// A task with the state of its mixtures.
package struct TaskRow: Codable, Sendable, Equatable {
  package var name: String
  package var revision: Int
  package var rows: Int
  package var evalRows: Int
  package var scoring: Scoring
  package var metric: String
  package var models: [String]
  /// Of its only pair with a model, or of its worst.
  package var state: TaskState
  @NullWhenAbsent package var job: Int64?
  package var stale: Bool
  /// How its copy differs from what was stored: no job reads it until it was dropped again.
  package var damaged: String?

  package init(
    name: String, revision: Int, rows: Int, evalRows: Int, scoring: Scoring, metric: String, models: [String],
    state: TaskState, job: Int64? = nil, stale: Bool, damaged: String? = nil
  ) {
    (self.name, self.revision, self.rows, self.evalRows, self.scoring, self.metric, self.models, self.state) = (
      name, revision, rows, evalRows, scoring, metric, models, state
    )
    self.stale = stale
    self.damaged = damaged
    self.job = job
  }
}
