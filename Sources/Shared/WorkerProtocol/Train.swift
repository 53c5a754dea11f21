import Records
package import Settings
package import StrictJSON

/// Make an expert: multipliers that a task's training rows, or labelled requests, have taught.
package struct TrainSpec: Sendable, Equatable {
  package enum Lesson: Sendable, Equatable {
    /// The task's own choices.
    case task(TaskReference)
    /// Which label a request has, asked as strategy `classifier` asks it.
    case dispatch(DispatchLesson)
  }

  package struct DispatchLesson: Sendable, Equatable {
    package struct Source: Sendable, Equatable {
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

  package var model: ModelReference
  /// Of the expert.
  package var name: String
  package var label: String?
  package var lesson: Lesson
  package var settings: TrainingSettings
  /// Where the expert's file is written (a path in the daemon's staging directory).
  package var expertPath: String
  /// Where the state is kept between two steps, so that a run that was cut goes on.
  package var statePath: String
  /// Nothing is trained: what it would take is estimated.
  package var isEstimate: Bool
  /// Of `lora`: another task that it is trained on too, to mix the two.
  package var partner: TaskReference?

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

  var json: JSONValue {
    object([
      ("model", model.json), ("name", .string(name)), ("label", label.map { .string($0) }), ("lesson", lesson.json),
      ("settings", RecordWriter.json(settings)), ("expert_path", .string(expertPath)),
      ("state_path", .string(statePath)),
      ("estimate", .bool(isEstimate)), ("mix_with", partner?.json),
    ])
  }

  init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "spec")
    self.init(
      model: try ModelReference(decoding: try fields.value("model")), name: try fields.string("name"),
      label: try fields.optionalString("label"), lesson: try Lesson(decoding: try fields.value("lesson")),
      settings: try fields.record("settings"),
      expertPath: try fields.string("expert_path"), statePath: try fields.string("state_path"),
      isEstimate: try fields.bool("estimate"),
      partner: try fields.optional("mix_with").map { (value) throws(WorkerProtocolError) in
        try TaskReference(decoding: value)
      })
  }
}

extension TrainSpec.Lesson {
  package var json: JSONValue {
    switch self {
    case .task(let task): return object([("task", task.json)])
    case .dispatch(let lesson):
      let sources = list(lesson.sources) { object([("label", .string($0.label)), ("task", $0.task.json)]) }
      return object([
        ("labels", JSONValue(lesson.labels)), ("template", .string(lesson.template)),
        ("template_source", .string(lesson.templateSource)), ("sources", sources),
      ])
    }
  }

  init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "lesson")
    if let task = fields.optional("task") {
      self = .task(try TaskReference(decoding: task))
      return
    }
    self = .dispatch(
      TrainSpec.DispatchLesson(
        labels: try fields.strings("labels"), template: try fields.string("template"),
        templateSource: try fields.string("template_source"),
        sources: try fields.each("sources") { (value, path) throws(WorkerProtocolError) in
          let one = try Fields(value, path)
          return .init(label: try one.string("label"), task: try TaskReference(decoding: try one.value("task")))
        }))
  }
}
