import TestSupport
import Testing

@Suite struct ModelTableTests {
  @Test(arguments: ["score", "gradient", "decode"])
  func theModelsOfTheTableAreThoseThatAreComputed(column: String) throws {
    // Each directory with either spelling of its configuration; the types of blocks are a list of their own.
    let models = Set(FixtureModel.all.map { String($0.description.prefix { $0 != "," }) })
    #expect(try ModelTable().arguments(of: column) == models.filter { !$0.hasPrefix("wide.") })
    #expect(models.count { $0.hasPrefix("wide.") } == 17)
  }
}
