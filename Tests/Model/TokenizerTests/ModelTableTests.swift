import TestSupport
import Testing

@Suite struct ModelTableTests {
  @Test func theTokenizersAndTemplatesOfTheTableAreThoseThatAreCompared() throws {
    let table = try ModelTable()
    let real = RealModelVocabulariesTests.all.map { "real \($0)" }
    #expect(try table.arguments(of: "tokenizer") == Set(FamilyTokenizersTests.names + real))
    #expect(try table.arguments(of: "template") == Set(ChatCasesTests.families))
  }
}
