package import StrictJSON

/// How to train; absent means the default.
package struct TrainSettings: Sendable, Equatable {
  /// `svf`, which makes an expert, or `lora`, which is compared with it and makes none.
  package var method = "svf"
  /// Of `lora`.
  package var rank = 16
  /// `reinforce`, `cross-entropy` or `next-token`.
  package var objective = "reinforce"
  package var steps = 40
  package var batch = 10
  package var learningRate = 0.01
  package var warmUp = 0
  package var clip = 0.001
  package var weightDecay = 0.0
  /// λ of λ KL to the base. Several: a training with each, of which the best one on the rows held out is kept.
  package var divergenceWeights = [0.0]
  /// `paper` or `reference`.
  package var divergenceDirection = "paper"
  /// Of rows whose answers are generated: how many are sampled for each, and how; `none` or `group`.
  package var samples = 4
  package var temperature = 1.0
  package var baseline = "none"
  package var seed: UInt64 = 1
  package var validationRows = 60
  package var validationInterval = 10
  package var patience = 5
  /// `mlp`, `attention`, or projections such as `gate_proj`; empty: all target matrices.
  package var modules: [String] = []
  /// Only matrices of these layers.
  package var layers: ClosedRange<Int>?
  /// Only the components of so many largest singular values of each matrix.
  package var components: Int?
  /// `multiplier` or `logit`.
  package var parameterSpace = "multiplier"
  /// At most so many training rows, the first ones; of a dispatcher so many for each label. Nil: all.
  package var rows: Int?

  package init() {}

  package var json: JSONValue {
    object([
      ("method", .string(method)), ("rank", method == "svf" ? nil : JSONValue(rank)),
      ("objective", .string(objective)), ("steps", JSONValue(steps)), ("batch", JSONValue(batch)),
      ("learning_rate", .number(learningRate)), ("warm_up", JSONValue(warmUp)), ("clip", .number(clip)),
      ("weight_decay", .number(weightDecay)), ("kl", .array(divergenceWeights.map { .number($0) })),
      ("kl_direction", .string(divergenceDirection)), ("samples", JSONValue(samples)),
      ("temperature", .number(temperature)), ("baseline", .string(baseline)), ("seed", seedJSON(seed)),
      ("validation_rows", JSONValue(validationRows)), ("validate_every", JSONValue(validationInterval)),
      ("patience", JSONValue(patience)), ("modules", JSONValue(modules)),
      ("layers", layers.map { [JSONValue($0.lowerBound), JSONValue($0.upperBound)] }),
      ("top", components.map { JSONValue($0) }), ("param_space", .string(parameterSpace)),
      ("rows", rows.map { JSONValue($0) }),
    ])
  }

  package init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "settings")
    method = try fields.string("method")
    rank = try fields.optionalInteger("rank") ?? rank
    objective = try fields.string("objective")
    steps = try fields.integer("steps")
    batch = try fields.integer("batch")
    learningRate = try fields.double("learning_rate")
    warmUp = try fields.integer("warm_up")
    clip = try fields.double("clip")
    weightDecay = try fields.double("weight_decay")
    divergenceWeights = try fields.doubles("kl")
    guard !divergenceWeights.isEmpty else {
      throw .wrongType(path: "settings.kl", expected: "a list of one weight or more")
    }
    divergenceDirection = try fields.string("kl_direction")
    samples = try fields.integer("samples")
    temperature = try fields.double("temperature")
    baseline = try fields.string("baseline")
    seed = try fields.seed("seed")
    validationRows = try fields.integer("validation_rows")
    validationInterval = try fields.integer("validate_every")
    patience = try fields.integer("patience")
    modules = try fields.strings("modules")
    layers = try Self.layers(fields)
    components = try fields.optionalInteger("top")
    parameterSpace = try fields.string("param_space")
    rows = try fields.optionalInteger("rows")
  }

  private static func layers(_ fields: Fields) throws(WorkerProtocolError) -> ClosedRange<Int>? {
    guard fields.optional("layers") != nil else { return nil }
    let ends = try fields.each("layers") { (value, path) throws(WorkerProtocolError) in
      try Fields.integer(value, path)
    }
    guard ends.count == 2, ends[0] <= ends[1] else {
      throw .wrongType(path: "settings.layers", expected: "the first layer and the last")
    }
    return ends[0]...ends[1]
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
  /// Nothing is trained: what it would take is estimated.
  package var isEstimate: Bool
  /// Of `lora`: another task that it is trained on too, to mix the two.
  package var partner: TaskReference?

  package init(
    model: ModelReference, name: String, label: String? = nil, lesson: Lesson, settings: TrainSettings,
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
      ("settings", settings.json), ("expert_path", .string(expertPath)), ("state_path", .string(statePath)),
      ("estimate", .bool(isEstimate)), ("mix_with", partner?.json),
    ])
  }

  init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "spec")
    self.init(
      model: try ModelReference(decoding: try fields.value("model")), name: try fields.string("name"),
      label: try fields.optionalString("label"), lesson: try Lesson(decoding: try fields.value("lesson")),
      settings: try TrainSettings(decoding: try fields.value("settings")),
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
