import Daemon
import SQLite
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// The store of an earlier version, Tests/Golden/store, which every later version opens. Its README says what is in it.
@Suite(.serialized) struct StoreTests {
  private static let directory = "\(repository)/Tests/Golden/store"
  /// What stands in the catalogue for the directory that the bank was made in.
  private static let placeholder = "/STORE"
  /// Of a catalogue, in its header: "T2d1".
  private static let applicationID: Int32 = 0x5432_6431

  @Test func aStoreOfAnEarlierVersionIsOpenedAndItsJobsGoOn() throws {
    try withTemporaryDirectory { directory in
      let bank = try Bank(directory: directory)
      try bank.take(from: Self.directory) { catalogue in
        try Self.rewrite(catalogue, Self.placeholder, as: directory)
      }
      let stage = try Stage("store", bank.prefix, Bank.configuration)
      defer { stage.daemon.stop() }
      let client = stage.client
      func names(_ method: String, _ list: String, _ member: String = "name") throws -> [String] {
        (try client.call(method)[list]?.arrayValue ?? []).compactMap { $0[member]?.stringValue }
      }
      #expect(try names("model.list", "models") == ["broken", "plain", "tiny"])
      #expect(try names("expert.list", "experts") == ["learned", "science", "social", "sorter", "stranger"])
      #expect(try names("task.list", "tasks") == ["letters", "numbers", "waiting"])
      #expect(try names("mixture.list", "mixtures", "task") == ["letters"])
      #expect(try client.call("check.list")["checks"]?.arrayValue?.count == 1)
      #expect(try client.call("expert.show", ["expert": "science"])["versions"] == [1, 2])
      #expect(try client.call("mixture.log", ["task": "letters"])["revisions"]?.arrayValue?.count == 3)

      let mixture = try client.call("mixture.get", ["task": "letters", "pass_fd": true])
      let vectors = try #require(client.takeDescriptor())
      #expect(try vectors.status().size == #require(mixture["vectors"]?["bytes"]?.intValue))

      // A job of every kind is there with its result.
      let jobs = try client.call("job.list", ["limit": 1000])["jobs"]?.arrayValue ?? []
      let kinds = Set(jobs.compactMap { $0["kind"]?.stringValue })
      #expect(
        kinds == ["inspect", "adapt", "train", "evaluate", "compare", "sweep", "check", "dispatch"], "\(kinds)")
      for job in jobs where job["state"] == "done" {
        #expect(try client.call("job.show", ["job": job["job"] ?? .null])["result"] != nil, "\(job.jsonText)")
      }
      // A training that was cut, a search and a training that were queued.
      for (job, kind) in [(16, "train"), (17, "adapt"), (18, "train")] {
        let ended = try client.call("job.wait", ["job": JSONValue(job), "timeout_ms": 120_000])
        #expect(ended["kind"] == .string(kind) && ended["state"] == "done", "\(ended.jsonText)\n\(stage.log.text)")
      }
      #expect(try client.call("expert.show", ["expert": "interrupted"])["active"] == 1)
    }
  }

  // MARK: - How it was made

  private static let records = environmentVariable("T2D_RECORD_STORE") == "1"

  /// Writes the fixture. Not to be run again: what it keeps is what a version wrote that is gone. A later version may add a
  /// store of its own beside it.
  @Test(.enabled(if: records, "writes the fixture; set T2D_RECORD_STORE=1"))
  func theStoreOfThisVersionIsRecorded() throws {
    try withTemporaryDirectory { directory in
      let bank = try Bank(directory: directory)
      try bank.fill()
      var training: JSONObject = [
        "name": "interrupted", "task": "letters", "steps": 12, "batch": 4, "validate_every": 1, "validation_rows": 3,
        "learning_rate": 0.1,
      ]
      let first = try Stage("store", bank.prefix, Bank.configuration)
      let job = try first.client.call("train.start", training)["job"] ?? .null
      while true {
        let shown = try first.client.call("job.show", ["job": job])
        try #require(shown["state"] == "queued" || shown["state"] == "running")
        if (shown["fraction"]?.doubleValue ?? 0) > 0.2 { break }
      }
      first.daemon.stop()
      let second = try Stage("store", bank.prefix, Bank.configuration, SilentWorker())
      try second.client.call("task.adapt", ["task": "letters", "seed": 3])
      training["name"] = "queued"
      training["steps"] = 3
      try second.client.call("train.start", training)
      second.daemon.stop()
      try bank.give(to: Self.directory) { catalogue in
        let database = try Connection(catalogue, applicationID: Self.applicationID, knownVersion: 1000)
        // As the first daemon left it, with its journal; the second, when it started, put it back into the queue.
        let cut = try database.execute(
          "UPDATE jobs SET state = 'interrupted' WHERE id = 16 AND started IS NOT NULL AND state = 'queued'")
        try #require(cut == 1)
        let states = try database.query("SELECT id, kind, state FROM jobs WHERE id > 15 ORDER BY id") {
          (row) throws(SQLiteError) in "\(try row.integer(0)) \(try row.text(1)) \(try row.text(2))"
        }
        try #require(states == ["16 train interrupted", "17 adapt queued", "18 train queued"], "\(states)")
        let journal = try database.one("SELECT count(*) FROM job_journal WHERE job = 16") {
          (row) throws(SQLiteError) in try row.integer(0)
        }
        try #require(journal > 1)
        try Self.rewrite(database, directory, as: Self.placeholder)
        try database.execute("VACUUM")
      }
    }
  }

  private static func rewrite(_ path: String, _ from: String, as to: String) throws {
    try rewrite(try Connection(path, applicationID: Self.applicationID, knownVersion: 1000), from, as: to)
  }

  /// Puts one directory for another into every text of the catalogue: paths of models, of tasks' copies, in jobs' specs.
  ///
  ///     UPDATE "models" SET "path" = replace("path", '/STORE', '/tmp/t2.abc') WHERE instr("path", '/STORE') > 0
  private static func rewrite(_ database: Connection, _ from: String, as to: String) throws {
    let columns = try database.query(
      """
      SELECT tables.name, columns.name FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns
      WHERE tables.type = 'table' AND columns.type = 'TEXT'
      """
    ) { (row) throws(SQLiteError) in (try row.text(0), try row.text(1)) }
    for (table, column) in columns {
      try database.execute(
        """
        UPDATE "\(table)" SET "\(column)" = replace("\(column)", ?1, ?2) WHERE instr("\(column)", ?1) > 0
        """, from, to)
    }
  }
}
