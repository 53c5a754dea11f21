import Records
import StrictJSON
import Testing

@Suite struct MemberNamesTests {
  private struct Score: Codable, Equatable {
    var value: Double
    var count: Int
    var ci95: Interval
    private enum CodingKeys: String, CodingKey {
      case value
      case count = "n"
      case ci95
    }
  }

  private struct Costs: Codable, Sendable, Equatable {
    var prompts: Int
    @EmptyWhenAbsent var saved: Int
  }

  private struct Answer: Codable {
    var modelID: String
    @NullWhenAbsent var previous: Int64?
    var base: Score?
    var uniform: Score
    var experts: ByName<Double>
    var searches: ByName<[String]>
    @Flattened var costs: Costs
    var rows: [Score]
    var tokens: [Int32]
    var history: [Costs]
    var spec: JSONValue
  }

  @Test func theyAreThoseOfTheTypeEachStructInFullOnce() {
    #expect(
      MemberNames(of: Answer.self).text
        == "model_id, previous, base {value, n, ci95}, uniform (as base), experts {NAME}, searches {NAME}, prompts, "
        + "saved, rows [as base], tokens, history [{prompts, saved}], spec")
  }

  @Test func whatIsNoObjectHasNone() { #expect(MemberNames(of: JSONValue.self).text.isEmpty) }
}
