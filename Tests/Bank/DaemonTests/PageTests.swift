import RPCClient
import RPCProtocol
import StrictJSON
import SystemSupport
import TestSupport
import Testing

@testable import Daemon
@testable import Registry

@Suite struct PageTests {
  /// The places of all pages of a list, and how many pages there were.
  private func walk(
    limit: Int, _ body: (inout Page) throws -> [String]
  ) throws -> (rows: [String], pages: Int) {
    var asked = PageParameters()
    asked.limit = limit
    var all: [String] = []
    var pages = 0
    repeat {
      var page = try Page(asked)
      all += try body(&page)
      pages += 1
      asked.after = page.next
    } while asked.after != nil && pages < 10_000
    return (all, pages)
  }

  @Test(arguments: [1, 2, 3, 7, 100])
  func pagesHaveEveryRowOnceInItsOrderWhateverTheirSize(limit: Int) throws {
    let names = ["A", "a", "a-b", "a.b", "a/c", "b", "é"].sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    let versions = names.filter { !$0.contains("/") }.flatMap { name in (1...3).map { (name, $0) } }
    let numbers: [Int64] = [30, 20, 10, 9]
    let found = try walk(limit: limit) { page in
      try page.rows(of: versions, by: { [.name($0.0), .number(Int64($0.1))] }) { "\($0.0)@\($0.1)" }
        + page.rows(list: 1, of: numbers, by: { [.newest($0)] }) { "\($0)" }
    }
    #expect(found.rows == versions.map { "\($0.0)@\($0.1)" } + numbers.map { "\($0)" })
    #expect(found.pages == (found.rows.count + limit - 1) / limit)
  }

  @Test func aPageEndsAtItsBytesAndARowAloneIsAlwaysThere() throws {
    let text = String(repeating: "x", count: 400_000)
    let found = try walk(limit: 1000) { page in
      try page.rows(of: 0..<5, by: { [.number(Int64($0))] }) { text + "\($0)" }
    }
    #expect(found.rows.count == 5 && found.pages == 3)
    let huge = String(repeating: "y", count: 2 * Page.maximumBytes)
    #expect(try walk(limit: 9) { try $0.rows(of: 0..<3, by: { [.number(Int64($0))] }) { _ in huge } }.pages == 3)
  }

  @Test func rowsThatComeAndGoBetweenTwoPagesMoveNoOther() throws {
    var asked = PageParameters()
    asked.limit = 2
    var first = try Page(asked)
    #expect(try first.rows(of: ["b", "d", "f", "h"], by: { [.name($0)] }) { $0 } == ["b", "d"])
    asked.after = first.next
    var second = try Page(asked)
    #expect(try second.rows(of: ["a", "b", "c", "e", "f"], by: { [.name($0)] }) { $0 } == ["e", "f"])
  }

  @Test(arguments: ["", "x", "0", "0/", "x/y", "0/a/b/c", "-1/a", "99999999999999999999/a", "0/\u{0}"])
  func aPlaceThatNoPageGaveIsRefusedOrEmptyAndNoCrash(after: String) throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.dropExpert("science", value: 1.25)
      try daemon.sync()
      for method in ["expert.list", "job.list", "model.list", "mixture.list", "task.list", "check.list"] {
        do {
          #expect(try daemon.call(method, ["after": .string(after)]).objectValue != nil)
        } catch RPCClientError.refused(let error) {
          #expect(error.kind == "invalid_params", "\(method)")
        }
      }
    }
  }

  /// Every method whose result is a page, found by its declaration.
  @Test func everyListIsPaged() throws {
    let paged = RPCMethod.declarations.filter { $0.parameterMembers.contains { $0.name == "after" } }.map { $0.name }
    let lists = RPCMethod.all.map(\.name).filter { $0.hasSuffix(".list") || $0.hasSuffix(".log") }
    #expect(Set(lists + ["events.subscribe"]) == Set(paged))
    #expect(
      Set(
        lists.compactMap { name in
          RPCMethod.named(name)?.parameters.first { $0.name == "limit" }?.standard?.jsonText
        }
      ).count == 1, "one default")
  }

  @Test func theListsOfADaemonAreWalkedInPages() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      for number in 0..<5 { try daemon.dropExpert("e\(number)", value: 1 + Float(number) / 8) }
      for number in 0..<3 { try daemon.drop("experts", "bad\(number).safetensors", [1]) }
      try daemon.dropTask("arc")
      _ = try daemon.settledMixture("arc")
      for (method, lists) in [
        ("expert.list", ["experts", "rejected"]), ("job.list", ["jobs"]), ("mixture.log", ["revisions", "changes"]),
        ("expert.log", ["events"]), ("task.list", ["tasks", "rejected"]), ("model.list", ["models"]),
      ] {
        var params: JSONObject = [:]
        if method == "mixture.log" { params["task"] = "arc" }
        if method == "expert.log" { params["expert"] = "e1" }
        let whole = try daemon.call(method, params)
        #expect(whole["next"] == nil)
        func rows(_ answer: JSONValue) -> [JSONValue] { lists.flatMap { answer[$0]?.arrayValue ?? [] } }
        var walked: [JSONValue] = []
        params["limit"] = 1
        repeat {
          let page = try daemon.call(method, params)
          #expect(rows(page).count == 1, "\(method)")
          walked += rows(page)
          params["after"] = page["next"]
        } while params["after"] != nil && walked.count < 1000
        // The log of an expert has the oldest of a page first, and the pages go back in time.
        let expected = method == "expert.log" ? rows(whole).reversed() : rows(whole)
        #expect(walked == expected, "\(method)")
      }
    }
  }

  // MARK: - Events

  @Test func whoConnectsAgainHasNoGapAndIsToldWhereHistoryBegins() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      for number in 0..<30 { try daemon.dropExpert("e\(number)", value: 1 + Float(number) / 64) }
      try daemon.sync()
      let client = try RPCClient(socketPath: daemon.daemon.paths.socket)
      var after: Int64 = 3
      var seen: [Int64] = []
      while true {
        let page = try client.call("events.subscribe", ["after": .integer(after), "limit": 7])
        seen += page["events"]?.arrayValue?.compactMap { $0["sequence"]?.integerValue } ?? []
        guard let next = page["next"]?.integerValue else { break }
        #expect(next == seen.last)
        after = next
      }
      // Following has begun with the last page: the next event is the one after it.
      try daemon.dropExpert("late", value: 1.75)
      try daemon.sync()
      let event = try #require(try client.nextNotification(timeout: .seconds(10)))
      let live = try #require(event.params["sequence"]?.integerValue)
      #expect(seen.count > 20 && seen + [live] == Array(4...live))
    }
  }

  @Test func aHistoryThatBeginsLaterThanAskedIsSaid() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.dropExpert("science", value: 1.25)
      try daemon.sync()
      daemon.stop()
      let paths = daemon.daemon.paths
      let catalogue = try Catalogue(path: paths.catalogue, store: paths.store, now: .now)
      try catalogue.transaction { () throws(RegistryError) in
        try catalogue.run("DELETE FROM events WHERE sequence < 4")
      }
      catalogue.close()
      try daemon.restart()
      let cut = try daemon.call("events.subscribe", ["after": 1, "follow": false])
      #expect(cut["history_begins"] == 4)
      #expect(cut["events"]?.arrayValue?.first?["sequence"] == 4)
      #expect(try daemon.call("events.subscribe", ["after": 3, "follow": false])["history_begins"] == nil)
    }
  }
}
