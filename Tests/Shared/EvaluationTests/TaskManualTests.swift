import Records
import TestSupport
import Testing

@testable import Evaluation

/// t2-task(5) has the members that `TaskSettings` declares, and the shapes of rows.
@Suite struct TaskManualTests {
  @Test func everyMemberAndEveryShapeIsInThePage() throws {
    var page = try ManualPage("t2-task.5")
    let leaves = TaskSettings.leaves
    let lists = [
      (".Sh SETTINGS", leaves.filter { !$0.name.hasPrefix("search.") }),
      (".Ss Extraction rules", ExtractionRule.members),
      (".Ss Search", leaves.filter { $0.name.hasPrefix("search.") }),
    ]
    for (heading, members) in lists { page.check(try page.section(heading), members: members, of: heading) }
    #expect(page.lines.count { $0.hasPrefix(".It Va ") } == leaves.count + ExtractionRule.members.count)
    for (heading, shapes) in [
      (".Ss Known shapes", RowShape.all.filter(\.isDefault)),
      (".Ss Shapes that a template names", RowShape.all.filter { !$0.isDefault }),
    ] {
      let list = shapes.map { shape in
        ManualPage.Entry(
          item: ".It Li \(shape.fields)",
          text: shape.summary.dropLast() + (shape.template.map { " (prompt \($0))." } ?? "."))
      }
      page.check(try page.section(heading), list: list, of: heading)
    }
    try page.keep()
  }
}
