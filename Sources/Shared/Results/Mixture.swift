package import Multipliers
package import Records
import Settings

/// What a search found for a task on a model, the same from the worker to the client: the worker's result, what the
/// catalogue keeps of it, what the job and `mixture.get` show.
package struct Mixture: Codable, Sendable, Equatable {
  /// Of one expert: a number, or one for each of `units`.
  package enum Coefficients: Codable, Sendable, Equatable {
    case one(Float)
    case each([Float])

    package var values: [Float] {
      switch self {
      case .one(let value): [value]
      case .each(let values): values
      }
    }

    package init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if let value = try? container.decode(Float.self) {
        self = .one(value)
      } else {
        self = .each(try container.decode([Float].self))
      }
    }

    package func encode(to encoder: any Encoder) throws {
      var container = encoder.singleValueContainer()
      switch self {
      case .one(let value): try container.encode(value)
      case .each(let values): try container.encode(values)
      }
    }
  }

  package struct Expert: Codable, Sendable, Equatable {
    package var name: String
    package var version: Int
    package var digest: String

    package init(name: String, version: Int, digest: String) {
      self.name = name
      self.version = version
      self.digest = digest
    }
  }

  package struct Scores: Codable, Sendable, Equatable {
    package var metric: String
    package var base: ScoreSummary
    package var experts: ByName<ScoreSummary>
    package var uniform: ScoreSummary
    /// Of the search's own choice, which is what is served unless `served` says otherwise.
    package var mixture: ScoreSummary

    package init(
      metric: String, base: ScoreSummary, experts: ByName<ScoreSummary>, uniform: ScoreSummary, mixture: ScoreSummary
    ) {
      self.metric = metric
      self.base = base
      self.experts = experts
      self.uniform = uniform
      self.mixture = mixture
    }
  }

  /// What is served, by expert, in the order of `experts`.
  package var alpha: ByName<Coefficients>
  package var granularity: Granularity
  package var mix: MixRule
  package var rescale: Rescale
  /// Names of layers or matrices that the coefficients follow; nil for `vector`.
  package var units: [String]?
  package var experts: [Expert]
  package var scores: Scores
  /// `mixture`, `base`, `uniform` or an expert's name.
  package var served: String
  package var servedBecause: String
  /// Whether the search found nothing that the shots tell from the base, so that the base is served; nil where it did.
  package var noSignal: Bool?
  /// Of the effective multipliers' content. The daemon sets it when it has checked the file that the worker wrote.
  package var digest: String?
  package var taskDigest: String
  package var baseDigest: String
  /// Of all that it depends on; the daemon's.
  package var inputsDigest: String?
  package var template: String
  package var search: SearchSummary
  /// Nil where the task has no eval file; only a job shows them.
  package var evalItems: EvalItems?
  package var warnings: [String]?

  /// - Parameters:
  ///   - alpha: `[expert][unit]`.
  ///   - units: of the granularity; those of `vector` are not kept.
  package init(
    alpha: [[Float]], granularity: Granularity, mix: MixRule, rescale: Rescale, units: [String], experts: [Expert],
    scores: Scores, served: String, servedBecause: String, hasSignal: Bool = true, taskDigest: String,
    baseDigest: String, template: String,
    search: SearchSummary, evalItems: EvalItems? = nil, warnings: [String] = []
  ) {
    self.alpha = ByName(
      zip(experts, alpha).map { expert, values in
        (expert.name, granularity == .vector && values.count == 1 ? .one(values[0]) : .each(values))
      })
    self.granularity = granularity
    self.mix = mix
    self.rescale = rescale
    self.units = granularity == .vector ? nil : units
    self.experts = experts
    self.scores = scores
    self.served = served
    self.servedBecause = servedBecause
    noSignal = hasSignal ? nil : true
    self.taskDigest = taskDigest
    self.baseDigest = baseDigest
    self.template = template
    self.search = search
    self.evalItems = evalItems
    self.warnings = warnings.isEmpty ? nil : warnings
  }

  /// Without what only a report reads: the items, and the history of each search.
  package var brief: Mixture {
    var brief = self
    brief.evalItems = nil
    for index in brief.search.configurations.indices { brief.search.configurations[index].history = nil }
    return brief
  }
}
