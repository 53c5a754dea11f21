import Evaluation
import Experts
import Registry
import RPCProtocol
import Settings
import WorkerProtocol

/// A label and the version of the expert that it stands for.
struct DispatchLabel {
  var label: String
  var version: ExpertVersion
}

extension Snapshot {
  /// The labels of the active experts of a model, in the order of names: `t2.label`, or the name where there is none,
  /// where several experts share a label, and where the label is `other`, which is the base. A damaged one is passed over.
  func dispatchLabels(on model: ModelRecord) throws(RPCError) -> [DispatchLabel] {
    let versions = activeVersions(of: .expert, on: model)
    guard !versions.isEmpty else {
      throw RPCError(
        .emptyBank, "no expert of model '\(model.name)' is active, so there is no label to choose",
        hint: "drop an expert into the watched directory, or promote one: t2ctl expert list")
    }
    var labels: [DispatchLabel] = []
    for version in versions {
      let shared = versions.count { $0.label.map { sameName($0, version.label ?? "") } ?? false } > 1
      let label = version.label.flatMap { $0.isEmpty || shared || $0 == DispatchSpec.other ? nil : $0 } ?? version.name
      guard label != DispatchSpec.other, !labels.contains(where: { sameName($0.label, label) }) else {
        throw RPCError(
          .conflict,
          label == DispatchSpec.other
            ? "expert '\(version.name)' would have the label 'other', which stands for the base"
            : "the experts '\(version.name)' and '\(labels.first { sameName($0.label, label) }?.version.name ?? "")' "
              + "would both have the label '\(label)'",
          hint: "give it a label of its own: t2ctl expert register FILE --name \(version.name) --label LABEL")
      }
      labels.append(DispatchLabel(label: label, version: version))
    }
    return labels
  }

  /// The dispatcher of strategy `classifier`: the one that is named, or the only one.
  func dispatcher(_ name: String?, on model: ModelRecord) throws(RPCError) -> ExpertVersion {
    if let name {
      let (_, version) = try resolveExpert(name)
      guard version.kind == ExpertKind.dispatcher.rawValue else {
        throw RPCError(
          .noDispatcher, "expert '\(version.name)@\(version.version)' is of kind '\(version.kind)', and no dispatcher",
          hint: "a dispatcher is an expert whose file says t2.kind = dispatcher; see t2-expert(5)")
      }
      return version
    }
    let known = activeVersions(of: .dispatcher, on: model)
    guard let first = known.first else {
      throw RPCError(
        .noDispatcher, "model '\(model.name)' has no active dispatcher, which the strategy 'classifier' needs",
        hint: "drop an expert with t2.kind = dispatcher into the watched directory (see t2-expert(5)), "
          + "or let the base decide: --strategy prompt")
    }
    guard known.count == 1 else {
      throw RPCError(
        .noDispatcher, "several dispatchers are active: \(known.map(\.name).joined(separator: ", "))",
        hint: "name one with --dispatcher")
    }
    return first
  }

  private func activeVersions(of kind: ExpertKind, on model: ModelRecord) -> [ExpertVersion] {
    experts.compactMap(\.activeVersion)
      .filter { version in
        sameName(version.model, model.name) && version.kind == kind.rawValue
          && model.facts.map { $0.digest == version.modelDigest } ?? true && damage(of: version) == nil
      }
      .sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
  }
}

/// The first pass as a request asks for it, with every version as it is now.
struct ResolvedDispatch {
  var spec: DispatchSpec
  var labels: [DispatchLabel]
  var dispatcher: ExpertVersion?

  /// The decision as clients see it: with the version of each label's expert.
  func shown(_ decision: Decision) -> ShownDecision {
    ShownDecision(
      label: decision.label, expert: expert(of: decision.label), read: decision.reading, text: decision.text,
      note: decision.note,
      probabilities: decision.probabilities.map {
        .init(label: $0.label, probability: $0.probability, expert: expert(of: $0.label))
      })
  }

  /// `science@2`, or nil for the base.
  private func expert(of label: String) -> String? {
    guard let version = labels.first(where: { sameName($0.label, label) })?.version else { return nil }
    return "\(version.name)@\(version.version)"
  }

  var shownDispatcher: String? { dispatcher.map { "\($0.name)@\($0.version)" } }
}

extension Service {
  /// The first pass of a strategy, `prompt` or `classifier`.
  func resolveDispatch(
    _ strategy: FirstPass, _ asked: DecisionParameters, model: ModelRecord
  ) throws(RPCError) -> ResolvedDispatch {
    let snapshot = snapshots.get()
    if strategy == .prompt, asked.dispatcher != nil {
      throw RPCError(
        .invalidParams, "a 'dispatcher' decides under the strategy 'classifier'; under 'prompt' the base does")
    }
    let template: DispatchTemplate
    do throws(DispatchTemplateError) { template = try templates.get() } catch {
      throw RPCError(
        .badTemplate, error.description, hint: "correct the file and send t2d SIGHUP, or remove it for the built-in one"
      )
    }
    guard model.facts?.hasTokenizer != false else {
      throw RPCError(
        .noTokenizer, "model '\(model.name)' has no tokenizer, so it cannot be asked for a label",
        hint: "choose the weights: --expert, --task or --strategy none")
    }
    let dispatcher =
      strategy == .classifier ? try snapshot.dispatcher(asked.dispatcher, on: model) : nil
    let labels = try snapshot.dispatchLabels(on: model)
    var entries: [DispatchSpec.Label] = []
    for label in labels {
      entries.append(.init(label: label.label, weights: try weights(of: label.version, on: model)))
    }
    var weights = Weights.base
    if let dispatcher { weights = try self.weights(of: dispatcher, on: model) }
    let settings = configuration.dispatch
    let reading =
      asked.read ?? settings.reading
      ?? ((model.facts?.parameters ?? 0) < settings.smallParameters ? .score : .generate)
    return ResolvedDispatch(
      spec: DispatchSpec(
        labels: entries, template: template.text, templateSource: template.source, reading: reading, weights: weights,
        maximumTokens: settings.maximumTokens), labels: labels, dispatcher: dispatcher)
  }
}
