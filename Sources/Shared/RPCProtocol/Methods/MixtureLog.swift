package import Records
package import Results

package enum MixtureLog: RPCMethodDeclaration {
  package static let name = "mixture.log"
  package static let access = RPCMethod.Access.read
  package static let verb = "mixture log"
  package static let summary = "What was served for a task, when, and why it changed."
  package static let resultNotes = "event is mixture.published, mixture.stale or mixture.fresh"

  package struct Parameters: Record {
    @Setting("the task's name") package var task: String
    @Setting(modelSummary) package var model: String?
    @Included package var page = PageParameters()
    package init() {}
  }

  /// Newest first, both.
  package struct Result: PagedResult, Equatable {
    package var task: String
    package var revisions: [Revision]
    package var changes: [Change]
    package var next: String?

    package init(task: String, revisions: [Revision], changes: [Change], next: String? = nil) {
      self.task = task
      self.revisions = revisions
      self.changes = changes
      self.next = next
    }

    package mutating func append(_ page: Self) {
      revisions += page.revisions
      changes += page.changes
      next = page.next
    }

    package var rowCount: Int { revisions.count + changes.count }
  }

  package struct Revision: Codable, Sendable, Equatable {
    package var revision: Int
    package var generation: Int64
    package var time: String
    package var model: String
    package var alpha: ByName<Mixture.Coefficients>
    package var experts: [Mixture.Expert]
    package var scores: Mixture.Scores
    package var served: String
    package var reason: String
    package var job: Int64

    package init(
      revision: Int, generation: Int64, time: String, model: String, mixture: Mixture, reason: String, job: Int64
    ) {
      self.revision = revision
      self.generation = generation
      self.time = time
      self.model = model
      alpha = mixture.alpha
      experts = mixture.experts
      scores = mixture.scores
      served = mixture.served
      self.reason = reason
      self.job = job
    }
  }

  /// An event; those that published a mixture say which.
  package struct Change: Codable, Sendable, Equatable {
    package var sequence: Int64
    package var time: String
    package var event: String
    package var subject: String
    package var model: String?
    package var job: Int64?
    package var served: String?
    package var alpha: ByName<Mixture.Coefficients>?
    package var reason: String?
  }
}
