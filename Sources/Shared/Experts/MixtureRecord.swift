package import Digests
package import Multipliers
package import StrictJSON

/// What is known about a served mixture: for which task and model, which experts with which α, and how it was found.
///
/// As JSON it is one object; `init(json:)` refuses keys that it does not know.
package struct MixtureRecord: Sendable, Equatable {
  package struct Expert: Sendable, Equatable {
    package var name: String
    package var version: Int
    /// The content digest of that version.
    package var digest: Digest
    /// One coefficient a unit; one alone under granularity `vector`.
    package var alpha: [Float]

    package init(name: String, version: Int, digest: Digest, alpha: [Float]) {
      self.name = name
      self.version = version
      self.digest = digest
      self.alpha = alpha
    }
  }

  /// What one configuration reached. `fit` on the shots that it was searched on, `heldOut` on folds that it was not,
  /// `eval` on the eval file, which no search reads.
  package struct Score: Sendable, Equatable {
    package var fit: Double?
    package var heldOut: Double?
    package var eval: Double?

    package init(fit: Double?, heldOut: Double?, eval: Double? = nil) {
      self.fit = fit
      self.heldOut = heldOut
      self.eval = eval
    }
  }

  package struct Scores: Sendable, Equatable {
    package var metric: String
    package var base: Score
    /// In the order of the record's experts.
    package var experts: [Score]
    package var uniform: Score
    package var mixture: Score

    package init(metric: String, base: Score, experts: [Score], uniform: Score, mixture: Score) {
      self.metric = metric
      self.base = base
      self.experts = experts
      self.uniform = uniform
      self.mixture = mixture
    }
  }

  /// The file of the effective multipliers, by the digest of its bytes.
  package struct Vectors: Sendable, Equatable {
    package var digest: Digest
    package var bytes: Int

    package init(digest: Digest, bytes: Int) {
      self.digest = digest
      self.bytes = bytes
    }
  }

  package var task: String
  package var taskDigest: Digest
  package var model: String
  package var baseDigest: Digest
  package var granularity: Granularity
  package var mix: MixRule
  package var rescale: Rescale
  /// Names of layers or matrices in the order of each expert's `alpha`; empty under granularity `vector`.
  package var units: [String]
  package var experts: [Expert]
  package var scores: Scores
  /// What is served and why: "mixture", or the baseline that was better on held-out shots.
  package var served: String
  package var servedReason: String
  /// Method, seed, generations, evaluations, seconds, stop reason, BLAS kernel: as the search reports it.
  package var search: JSONObject
  package var vectors: Vectors?

  package init(
    task: String, taskDigest: Digest, model: String, baseDigest: Digest, granularity: Granularity, mix: MixRule,
    rescale: Rescale, units: [String], experts: [Expert], scores: Scores, served: String, servedReason: String,
    search: JSONObject, vectors: Vectors? = nil
  ) {
    self.task = task
    self.taskDigest = taskDigest
    self.model = model
    self.baseDigest = baseDigest
    self.granularity = granularity
    self.mix = mix
    self.rescale = rescale
    self.units = units
    self.experts = experts
    self.scores = scores
    self.served = served
    self.servedReason = servedReason
    self.search = search
    self.vectors = vectors
  }

  /// α of the mixture, in the order of the experts.
  package var coefficients: MixtureCoefficients {
    MixtureCoefficients(granularity: granularity, mix: mix, alpha: experts.map(\.alpha))
  }

  /// {expert: coefficient, or list of them}: `alpha` of `mixture.get`.
  package var alphaJSON: JSONValue {
    var object = JSONObject()
    for expert in experts { object[expert.name] = Self.alpha(expert.alpha, granularity) }
    return .object(object)
  }

  private static func alpha(_ values: [Float], _ granularity: Granularity) -> JSONValue {
    if granularity == .vector, values.count == 1 { return .float(values[0]) }
    return .array(values.map { .float($0) })
  }
}
