package import Records
package import Results

package enum MixtureList: RPCMethodDeclaration {
  package static let name = "mixture.list"
  package static let access = RPCMethod.Access.read
  package static let verb = "mixture list"
  package static let summary = "The mixtures that are served."

  package struct Parameters: Record {
    @Included package var page = PageParameters()
    package init() {}
  }

  package struct Result: PagedResult, Equatable {
    package var mixtures: [MixtureRow]
    package var next: String?

    package init(mixtures: [MixtureRow], next: String? = nil) {
      (self.mixtures, self.next) = (mixtures, next)
    }

    package mutating func append(_ page: Self) {
      mixtures += page.mixtures
      next = page.next
    }

    package var rowCount: Int { mixtures.count }
  }
}

/// A mixture that is served, in short.
package struct MixtureRow: Codable, Sendable, Equatable {
  package var task: String
  package var model: String
  package var alpha: ByName<Mixture.Coefficients>
  package var scores: Mixture.Scores
  package var served: String
  /// As in mixture.get.
  package var noSignal: Bool?
  package var stale: Bool
  @NullWhenAbsent package var staleReason: String?
  package var generation: Int64
  package var created: String
  /// How its vectors differ from what was stored: it is not served, and searched anew.
  package var damaged: String?

  package init(
    task: String, model: String, mixture: Mixture, staleReason: String?, generation: Int64, created: String,
    damaged: String? = nil
  ) {
    self.task = task
    self.model = model
    alpha = mixture.alpha
    scores = mixture.scores
    served = mixture.served
    noSignal = mixture.noSignal
    stale = staleReason != nil
    self.staleReason = staleReason
    self.generation = generation
    self.created = created
    self.damaged = damaged
  }
}
