package import StrictJSON

/// How to train; absent means the default.
package struct TrainSettings: Sendable, Equatable {
  /// `reinforce`, `cross-entropy` or `next-token`.
  package var objective = "reinforce"
  package var steps = 40
  package var batch = 10
  package var learningRate = 0.01
  package var warmUp = 0
  package var clip = 0.001
  package var weightDecay = 0.0
  /// λ of λ KL(q ‖ q_base) over the choices.
  package var divergenceWeight = 0.0
  package var seed: UInt64 = 1
  package var validationRows = 60
  package var validationInterval = 10
  package var patience = 5
  /// `mlp`, `attention`, or projections such as `gate_proj`; empty: all target matrices.
  package var modules: [String] = []
  /// At most so many training rows, the first ones; of a dispatcher so many for each label. Nil: all.
  package var rows: Int?

  package init() {}

  package var json: JSONValue {
    object([
      ("objective", .string(objective)), ("steps", JSONValue(steps)), ("batch", JSONValue(batch)),
      ("learning_rate", .number(learningRate)), ("warm_up", JSONValue(warmUp)), ("clip", .number(clip)),
      ("weight_decay", .number(weightDecay)), ("kl", .number(divergenceWeight)), ("seed", seedJSON(seed)),
      ("validation_rows", JSONValue(validationRows)), ("validate_every", JSONValue(validationInterval)),
      ("patience", JSONValue(patience)), ("modules", JSONValue(modules)), ("rows", rows.map { JSONValue($0) }),
    ])
  }

  package init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "settings")
    objective = try fields.string("objective")
    steps = try fields.integer("steps")
    batch = try fields.integer("batch")
    learningRate = try fields.double("learning_rate")
    warmUp = try fields.integer("warm_up")
    clip = try fields.double("clip")
    weightDecay = try fields.double("weight_decay")
    divergenceWeight = try fields.double("kl")
    seed = try fields.seed("seed")
    validationRows = try fields.integer("validation_rows")
    validationInterval = try fields.integer("validate_every")
    patience = try fields.integer("patience")
    modules = try fields.strings("modules")
    rows = try fields.optionalInteger("rows")
  }
}

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
  package var settings: TrainSettings
  /// Where the expert's file is written (a path in the daemon's staging directory).
  package var expertPath: String
  /// Where the state is kept between two steps, so that a run that was cut goes on.
  package var statePath: String

  package init(
    model: ModelReference, name: String, label: String? = nil, lesson: Lesson, settings: TrainSettings,
    expertPath: String, statePath: String
  ) {
    self.model = model
    self.name = name
    self.label = label
    self.lesson = lesson
    self.settings = settings
    self.expertPath = expertPath
    self.statePath = statePath
  }

  var json: JSONValue {
    object([
      ("model", model.json), ("name", .string(name)), ("label", label.map { .string($0) }), ("lesson", lesson.json),
      ("settings", settings.json), ("expert_path", .string(expertPath)), ("state_path", .string(statePath)),
    ])
  }

  init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "spec")
    self.init(
      model: try ModelReference(decoding: try fields.value("model")), name: try fields.string("name"),
      label: try fields.optionalString("label"), lesson: try Lesson(decoding: try fields.value("lesson")),
      settings: try TrainSettings(decoding: try fields.value("settings")),
      expertPath: try fields.string("expert_path"), statePath: try fields.string("state_path"))
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
