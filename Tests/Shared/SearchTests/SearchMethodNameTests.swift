import Search
import Testing

@Suite struct SearchMethodNameTests {
  @Test func everyMethodIsKnownByANameOfItsOwn() {
    let names = SearchMethods.all.map { $0.name }
    #expect(Set(names).count == names.count && !names.contains(.all))
    #expect(SearchMethodName.allCases == names + [.all])
    #expect(names.contains(.standard))
    for name in SearchMethodName.allCases {
      #expect(SearchMethodName(rawValue: name.rawValue) == name && "\(name)" == name.rawValue)
      #expect(SearchMethodName.listed.contains(name.rawValue))
    }
    #expect(Set(SearchMethods.all.map { $0.journalName }).count == names.count)
  }

  /// Names are on the wire, in task files and in journals.
  @Test func theNamesOfTheFirstMethodsStay() {
    #expect(SearchMethods.all.prefix(4).map { $0.name.rawValue } == ["cem", "random", "cma-es", "gradient"])
    #expect(SearchMethods.all.prefix(4).map { $0.journalName } == ["crossEntropy", "random", "covariance", "gradient"])
    #expect(SearchMethodName.all.rawValue == "all" && SearchMethodName.standard.rawValue == "cem")
  }

  @Test func aMethodSaysInALineWhatItIs() {
    for method in SearchMethods.all {
      #expect((20...100).contains(method.summary.count) && method.summary.last != ".", "\(method.name)")
    }
  }

  @Test func anUnknownNameIsToldWhatIsKnown() {
    #expect(SearchMethodName(rawValue: "cma") == nil && SearchMethodName(rawValue: "CEM") == nil)
    let problem = SearchMethodName.problem(with: "cma-se")
    #expect(problem.contains("'cma-se' is not known") && problem.contains("cem, random, cma-es, gradient"))
    #expect(problem.contains(" and all") && problem.hasSuffix("did you mean 'cma-es'?"))
  }

  @Test func allLeavesOutWhatNeedsGradientsWhereThereAreNone() {
    #expect(SearchMethodName.all.methods(withGradients: true).map { $0.name } == SearchMethods.all.map { $0.name })
    let without = SearchMethodName.all.methods(withGradients: false)
    #expect(!without.isEmpty && without.allSatisfy { !$0.needsGradients })
    // One that was named is for whoever asks to refuse.
    #expect(GradientAscent.name.methods(withGradients: false).map { $0.name } == [GradientAscent.name])
  }

  /// One string in place of a document.
  private struct Text: Decoder, SingleValueDecodingContainer {
    let text: String
    var codingPath: [any CodingKey] { [] }
    var userInfo: [CodingUserInfoKey: Any] { [:] }
    func singleValueContainer() -> any SingleValueDecodingContainer { self }
    func decode(_ type: String.Type) -> String { text }
    func decodeNil() -> Bool { false }
    func decode<Value: Decodable>(_ type: Value.Type) throws -> Value { try Value(from: self) }
    private func other() -> DecodingError {
      .typeMismatch(String.self, .init(codingPath: [], debugDescription: "text"))
    }
    func container<Key>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> { throw other() }
    func unkeyedContainer() throws -> any UnkeyedDecodingContainer { throw other() }
  }

  @Test func aNameIsReadFromAStringAndAnUnknownOneIsRefused() throws {
    #expect(try SearchMethodName(from: Text(text: "gradient")) == GradientAscent.name)
    let error = #expect(throws: DecodingError.self) { try SearchMethodName(from: Text(text: "annealing")) }
    #expect("\(try #require(error))".contains("known are cem, random"))
  }
}
