import FileKinds
import StrictJSON

/// The rows of one file as they are written, before anything is known of their shape.
struct RowFile {
  struct Row {
    /// From 1: where the row begins.
    let line: Int
    var object: JSONObject
  }

  private(set) var rows: [Row] = []
  /// What is wrong with single lines, in their order.
  private(set) var problems: [TaskFileError] = []
  let name: String

  /// Numbers that are none of JSON's stand in columns that nobody reads, which is no reason to refuse the file.
  static let limits = JSONLimits(oddNumbers: .kept)

  /// - Throws: where the file as a whole is nothing that holds rows.
  init(_ file: TaskDefinition.Files.File, maximumRows: Int) throws(TaskFileError) {
    name = file.name
    var bytes = file.bytes
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { bytes.removeFirst(3) }
    let first = bytes.first { $0 != 0x20 && $0 != 0x0A && $0 != 0x0D && $0 != 0x09 }
    guard let first else { throw .empty(file: name) }
    let isTable = Self.isTable(name)
    let beginsJSON = first == UInt8(ascii: "{") || first == UInt8(ascii: "[")
    if !beginsJSON, let kind = FileKind(beginning: bytes) { throw .kind(file: name, kind) }
    if isTable, !beginsJSON {
      try readTable(bytes, maximumRows)
    } else {
      try readJSON(bytes, maximumRows)
    }
    if rows.isEmpty, problems.isEmpty { throw .empty(file: name) }
  }

  static let encodingAdvice = "; the file is in another encoding: iconv -f WINDOWS-1252 -t UTF-8, or save it as UTF-8"

  static func isTable(_ name: String) -> Bool {
    let name = name.lowercased()
    return name.hasSuffix(".csv") || name.hasSuffix(".tsv")
  }

  private mutating func readJSON(_ bytes: [UInt8], _ maximumRows: Int) throws(TaskFileError) {
    let isText = String(validating: bytes, as: UTF8.self) != nil
    for item in JSONTexts(bytes, limits: Self.limits) {
      guard rows.count + problems.count < maximumRows else { throw .tooManyRows(file: name, allowed: maximumRows) }
      switch item.value {
      case .failure(let error):
        problems.append(.json(file: name, line: item.number, problem: Self.explained(error, isText: isText)))
      case .success(let value):
        guard let object = value.objectValue else {
          problems.append(.notAnObject(file: name, line: item.number, found: value.kindName))
          continue
        }
        rows.append(Row(line: item.number, object: object))
      }
    }
  }

  private static func explained(_ error: JSONError, isText: Bool) -> String {
    let advice =
      switch error.kind {
      // Half a surrogate pair, written as an escape, is of the same kind.
      case .badUTF8 where isText: ""
      case .badUTF8: Self.encodingAdvice
      case .unexpectedEnd: "; is the file cut off?"
      case .syntax, .duplicateKey, .numberRange, .tooDeep, .tooLarge, .trailingBytes: ""
      }
    return "\(error.problem) (column \(error.column))\(advice)"
  }

  private mutating func readTable(_ bytes: [UInt8], _ maximumRows: Int) throws(TaskFileError) {
    var table: SeparatedTable
    do throws(SeparatedTable.Problem) {
      table = try SeparatedTable(bytes, tabs: name.lowercased().hasSuffix(".tsv"))
    } catch {
      throw .table(file: name, line: error.line, problem: error.text)
    }
    do throws(SeparatedTable.Problem) {
      while rows.count <= maximumRows, let (line, object) = try table.next() {
        rows.append(Row(line: line, object: object))
      }
    } catch {
      throw .table(file: name, line: error.line, problem: error.text)
    }
    guard rows.count <= maximumRows else { throw .tooManyRows(file: name, allowed: maximumRows) }
  }
}
