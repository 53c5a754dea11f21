import Records
import StrictJSON
import SystemSupport
import TestSupport
import Testing

@testable import Daemon

/// t2d.conf(5) and the shipped file have the members that `Configuration` declares.
@Suite struct ConfigurationManualTests {
  @Test func everyMemberIsInThePage() throws {
    var page = try ManualPage("t2d.conf.5")
    func check(_ heading: String, _ members: [MemberDefinition]) throws {
      page.check(try page.section(".Sh " + heading), members: members, of: heading)
    }
    let leaves = Configuration.leaves
    try check("GENERAL", leaves.filter { !$0.name.contains(".") })
    for object in Configuration.members where !object.nested.isEmpty {
      try check(object.name.uppercased(), leaves.filter { $0.name.hasPrefix(object.name + ".") })
    }
    #expect(page.lines.count { $0.hasPrefix(".It Va ") } == leaves.count, "the page has members that are gone")
    try page.keep()
  }

  /// The file that is shipped, each member under its summary; as a comment, since it stands at its default.
  private func shipped(asComments: Bool) -> String {
    func lines(_ members: [MemberDefinition], _ values: JSONObject, _ indent: String) -> [String] {
      var all: [String] = []
      for member in members {
        if !all.isEmpty { all.append("") }
        if !member.nested.isEmpty, case .object(let values)? = values[member.name] {
          all += ManualPage.filled(ManualPage.sentence(member.summary), columns: 117).map { "\(indent)// \($0)" }
          all += ["\(indent)\(member.name): {"] + lines(member.nested, values, indent + "  ") + ["\(indent)},"]
        } else {
          let text = ManualPage.sentence(member.summary, after: " (\(ManualPage.allowed(member.type)))")
          all += ManualPage.filled(text, columns: 117 - indent.count).map { "\(indent)// \($0)" }
          let value = values[member.name] ?? .null
          all.append("\(indent)\(asComments ? "// " : "")\(member.name): \(value.jsonText),")
        }
      }
      return all
    }
    let head = [
      "// Configuration of t2d: t2d.conf(5) says more. Every member is optional, and those in comments stand at their defaults.",
      "// A member that is not known is an error that names it and the nearest known one. Paths are relative to the prefix.",
    ]
    let all = lines(Configuration.members, RecordWriter.object(Configuration()), "  ")
    return (head + ["{"] + all + ["}"]).joined(separator: "\n") + "\n"
  }

  @Test func theShippedFileHasEveryMemberAtItsDefault() throws {
    let path = "etc/t2d/t2d.json5"
    if ManualPage.records {
      try FileSystem.writeAtomically("\(repository)/\(path)", Array(shipped(asComments: true).utf8), mode: 0o644)
    }
    #expect(
      try ManualPage.text(path) == shipped(asComments: true),
      "'T2D_RECORD=1 swift test --filter ManualTests' writes it anew")
    for asComments in [true, false] {
      #expect(try Configuration(json5: Array(shipped(asComments: asComments).utf8), path: path) == Configuration())
    }
  }
}
