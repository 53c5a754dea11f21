import Records
import TestSupport
import Testing

@testable import Evaluation

/// t2-task(5) has the members that `TaskSettings` declares.
@Suite struct TaskManualTests {
  @Test func everyMemberIsInThePage() throws {
    var page = try ManualPage("t2-task.5")
    let leaves = TaskSettings.leaves
    let lists = [
      (".Sh SETTINGS", leaves.filter { !$0.name.hasPrefix("search.") }),
      (".Ss Extraction rules", ExtractionRule.members),
      (".Ss Search", leaves.filter { $0.name.hasPrefix("search.") }),
    ]
    for (heading, members) in lists { page.check(try page.section(heading), members: members, of: heading) }
    #expect(page.lines.count { $0.hasPrefix(".It Va ") } == leaves.count + ExtractionRule.members.count)
    try page.keep()
  }
}
