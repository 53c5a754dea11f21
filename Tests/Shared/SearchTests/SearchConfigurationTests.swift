import Multipliers
import Search
import Testing

@Suite struct SearchConfigurationTests {
  private static let space = MixtureSpace(experts: 2, units: 1, granularity: .vector, mix: .delta)

  private static func configuration(
    _ method: any SearchMethod.Type, _ requested: RequestedSettings = .init(), in space: MixtureSpace = space
  ) -> SearchConfiguration {
    SearchConfiguration(method, requested, in: space)
  }

  @Test func whatIsNotAskedForIsTheMethodsOwnDefault() {
    #expect(Self.configuration(CrossEntropyMethod.self) == SearchConfiguration(CrossEntropyMethod.self, in: Self.space))
    #expect(Self.configuration(CrossEntropyMethod.self).generations == 100)
    #expect(Self.configuration(GradientAscent.self).generations == 20)
  }

  @Test func everyMethodTakesTheGenerationsThatItIsAskedFor() {
    for method in SearchMethods.all {
      #expect(Self.configuration(method, RequestedSettings(iterations: 3)).generations == 3, "\(method.name)")
    }
    // Twenty steps is as far as a gradient says anything.
    #expect(Self.configuration(GradientAscent.self, RequestedSettings(iterations: 100)).generations == 20)
  }

  /// A journal is told from another by all that its search depends on.
  @Test func everyDifferenceIsInTheFingerprint() {
    var prints: Set<String> = []
    for method in SearchMethods.all {
      prints.insert(Self.configuration(method).fingerprint)
      prints.insert(Self.configuration(method, RequestedSettings(iterations: 7)).fingerprint)
      prints.insert(
        Self.configuration(
          method, in: MixtureSpace(experts: 2, units: 1, granularity: .vector, mix: .delta, upper: 2)
        ).fingerprint)
    }
    #expect(prints.count == 3 * SearchMethods.all.count)
    let many = Self.configuration(CrossEntropyMethod.self, RequestedSettings(population: 64, elites: 6))
    #expect(many != Self.configuration(CrossEntropyMethod.self) && many.method == CrossEntropyMethod.self)
  }

  @Test func aSearchBeginsInTheMiddleWithWhatWasAskedFor() throws {
    for method in SearchMethods.all where method.isOnGrid {
      let search = Self.configuration(method, RequestedSettings(population: 9, elites: 3)).started(SearchStart(seed: 1))
      guard case .ranking(let proposal)? = search.question else {
        Issue.record("\(method.name) asks for no ranking")
        continue
      }
      #expect(proposal.members.count == 9 && proposal.members[0] == [0.5, 0.5])
    }
  }
}
