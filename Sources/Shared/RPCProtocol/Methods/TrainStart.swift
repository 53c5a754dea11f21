package import Records
import Results
package import Settings

package enum TrainStart: RPCMethodDeclaration {
  package static let name = "train.start"
  package static let access = RPCMethod.Access.change
  package static let verb = "train"
  package static let since = 2
  package static let summary =
    "Queues the training of an expert on a task's training rows, or of a dispatcher on those of the experts' tasks."
  package static let resultNotes =
    "replaces is NAME@VERSION or null; the job's result is of an expert or a dispatcher \(MemberNames(of: ExpertTraining.self).text), "
    + "\(MemberNames(of: TrainedVersion.self).text); of method lora \(MemberNames(of: AdapterTraining.self).text); of a dry "
    + "run \(MemberNames(of: TrainEstimate.self).text)"

  package struct Parameters: Record {
    @Setting("name of the expert; one that is taken gets a new version") package var name: String
    @Setting("on whose training rows, with choices or answers to generate; or dispatcher") package var task: String?
    @Setting("make a dispatcher for the active experts") package var dispatcher = false
    @Setting(modelSummary) package var model: String?
    @Setting("the dispatch category of the expert") package var label: String?
    @Setting("for lora: a second task to train on, to score mixtures of the two on both") package var mixWith: String?
    @Included package var settings = TrainingSettings()
    @Setting("train nothing, estimate time and memory") package var dryRun = false
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    /// Rows that are trained on.
    package struct Source: Codable, Sendable, Equatable {
      package var task: String
      /// That a dispatcher learns to give them; nil for an expert.
      @NullWhenAbsent package var label: String?
      package var rows: Int

      package init(task: String, label: String?, rows: Int) {
        self.task = task
        self.label = label
        self.rows = rows
      }
    }

    package var job: Int64
    package var name: String
    /// `expert` or `dispatcher`.
    package var kind: String
    package var model: String
    package var sources: [Source]
    /// `science@2`, where it will be a new version of that.
    @NullWhenAbsent package var replaces: String?
    package var warnings: [String]

    package init(
      job: Int64, name: String, kind: String, model: String, sources: [Source], replaces: String?, warnings: [String]
    ) {
      self.job = job
      self.name = name
      self.kind = kind
      self.model = model
      self.sources = sources
      self.replaces = replaces
      self.warnings = warnings
    }
  }
}
