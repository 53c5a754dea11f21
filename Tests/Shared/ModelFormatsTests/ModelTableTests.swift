import SystemSupport
import TestSupport
import Testing

@Suite struct ModelTableTests {
  @Test func theFilesOfTheTableAreThoseThatAreRead() throws {
    let table = try ModelTable()
    #expect(try table.arguments(of: "HF") == Set(FamilyTests.names))
    #expect(try table.arguments(of: "GGUF") == Set(FamilyTests.twins.values))
  }

  @Test func aCellNamesATestsArgumentsOrAReason() throws {
    let table = try ModelTable()
    #expect(table.rows.count == 11)
    for (family, cells) in table.rows {
      #expect(cells.count == table.columns.count, "\(family)")
      for cell in cells where ModelTable.quoted(cell).isEmpty {
        let note = cell.hasPrefix("- [") ? String(cell.dropFirst(2)) : nil
        #expect(note.map { table.text.contains("\n- \($0) ") } ?? false, "\(family): \(cell)")
      }
    }
  }

  @Test func theTestsThatItNamesAreThere() throws {
    let named = Set(ModelTable.quoted(try ModelTable().text)).filter { $0.contains("Tests.") }
    #expect(named.count > 10)
    let tests = "\(repository)/Tests"
    var files: [String] = []
    for folder in try names(tests) where folder.first?.isUppercase == true && !folder.contains(".") {
      for target in try names("\(tests)/\(folder)") where target.hasSuffix("Tests") {
        let sources = try names("\(tests)/\(folder)/\(target)").filter { $0.hasSuffix(".swift") }
        files += try sources.map {
          String(
            decoding: try FileSystem.readAll("\(tests)/\(folder)/\(target)/\($0)", maximumBytes: 1 << 20), as: UTF8.self
          )
        }
      }
    }
    for test in named {
      let (suite, function) = (test.prefix { $0 != "." }, test.drop { $0 != "." }.dropFirst())
      #expect(
        files.contains { $0.contains("struct \(suite) {") && $0.contains("func \(function)(") }, "there is no \(test)")
    }
  }

  private func names(_ directory: String) throws -> [String] {
    try FileSystem.entries(directory, limit: 1000).compactMap(\.text)
  }
}
