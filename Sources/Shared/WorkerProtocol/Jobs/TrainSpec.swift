package import Records
package import Results
package import Settings

/// Make an expert: multipliers that a task's training rows, or labelled requests, have taught.
package struct TrainSpec: JobSpec {
  package typealias Result = TrainResult

  package enum Lesson: WorkerMessage {
    /// The task's own choices.
    case task(TaskReference)
    /// Which label a request has, asked as strategy `classifier` asks it.
    case dispatch(DispatchLesson)

    private enum CodingKeys: String, CodingKey { case task }

    package init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: CodingKeys.self)
      if let task = try container.decodeIfPresent(TaskReference.self, forKey: .task) {
        self = .task(task)
      } else {
        self = .dispatch(try DispatchLesson(from: decoder))
      }
    }

    package func encode(to encoder: any Encoder) throws {
      switch self {
      case .task(let task):
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(task, forKey: .task)
      case .dispatch(let lesson): try lesson.encode(to: encoder)
      }
    }
  }

  package struct DispatchLesson: WorkerMessage {
    package struct Source: WorkerMessage {
      package var label: String
      package var task: TaskReference
      package init(label: String, task: TaskReference) {
        self.label = label
        self.task = task
      }
    }

    /// All that a request may get, `other` last.
    package var labels: [String]
    package var template: String
    package var templateSource: String
    /// Whose training rows are requests of which label.
    package var sources: [Source]

    package init(labels: [String], template: String, templateSource: String, sources: [Source]) {
      self.labels = labels
      self.template = template
      self.templateSource = templateSource
      self.sources = sources
    }
  }

  @Setting() package var model: ModelReference
  /// Of the expert.
  @Setting() package var name: String
  @Setting() package var label: String?
  @Setting() package var lesson: Lesson
  @Setting package var settings = TrainingSettings()
  /// Where the expert's file is written (a path in the daemon's staging directory).
  @Setting() package var expertPath: String
  /// Where the state is kept between two steps, so that a run that was cut goes on.
  @Setting() package var statePath: String
  /// Nothing is trained: what it would take is estimated.
  @Setting(name: "estimate") package var isEstimate = false
  /// Of `lora`: another task that it is trained on too, to mix the two.
  @Setting(name: "mix_with") package var partner: TaskReference?

  package init() {}

  package init(
    model: ModelReference, name: String, label: String? = nil, lesson: Lesson, settings: TrainingSettings,
    expertPath: String, statePath: String, isEstimate: Bool = false, partner: TaskReference? = nil
  ) {
    self.model = model
    self.name = name
    self.label = label
    self.lesson = lesson
    self.settings = settings
    self.expertPath = expertPath
    self.statePath = statePath
    self.isEstimate = isEstimate
    self.partner = partner
  }
}
