import SystemSupport
import Testing

struct LoggerTests {
  private final class Lines: Sendable {
    let all = Mutex<[String]>([])
    func append(_ line: [UInt8]) { all.withLock { $0.append(String(decoding: line, as: UTF8.self)) } }
    var text: [String] { all.withLock { $0 } }
  }

  @Test func underTheJournalALineBeginsWithItsPriority() {
    let lines = Lines()
    let log = Logger(journal: true, sink: lines.append)
    log.warning("expert rejected", ["name": "a b", "tensor": 3, "reason": "x=\"1\"\n"])
    #expect(lines.text == ["<4>expert rejected name=\"a b\" tensor=3 reason=\"x=\\\"1\\\"\\n\"\n"])
  }

  @Test func elsewhereWithTimeAndLevel() throws {
    let lines = Lines()
    let log = Logger(journal: false, sink: lines.append)
    log.info("started", ["empty": ""])
    let line = try #require(lines.text.first)
    #expect(line.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info started empty=""\n/) != nil, "\(line)")
  }

  @Test func linesBelowTheThresholdAreNotBuilt() {
    let lines = Lines()
    let log = Logger(threshold: .notice, journal: true, sink: lines.append)
    var built = false
    func text() -> String {
      built = true
      return "x"
    }
    log.info(text())
    #expect(!built)
    log.notice("seen")
    #expect(lines.text == ["<5>seen\n"])
  }

  @Test func aRepeatedLineAppearsOnceUntilItsPeriodIsOver() {
    let lines = Lines()
    let log = Logger(journal: true, repeatPeriod: .seconds(3600), sink: lines.append)
    for _ in 0..<5 { log.info("again", ["name": "a"]) }
    log.info("again", ["name": "b"])
    #expect(lines.text == ["<6>again name=a\n", "<6>again name=b\n"])

    let open = Logger(journal: true, repeatPeriod: .zero, sink: lines.append)
    open.info("free")
    open.info("free")
    #expect(lines.text.count == 4)
  }

  @Test func theMemoryOfRepeatedLinesIsBounded() {
    let lines = Lines()
    let log = Logger(journal: true, repeatPeriod: .seconds(3600), sink: lines.append)
    for index in 0..<10_000 { log.info("line \(index)") }
    #expect(lines.text.count == 10_000)
  }

  @Test func levelsHaveNames() {
    #expect(Logger.Level(name: "warning") == .warning)
    #expect(Logger.Level(name: "loud") == nil)
  }
}
