import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// `acc` and `acc_norm` of the base and the starter experts, against PyTorch on the same rows.
extension EndToEnd {
  @Suite(.serialized) struct AccuracyTests {
    struct Row {
      var file: String
      var n: Int64
      var expert: String?
      var acc: Double
      var accNorm: Double
    }

    /// Near ties may fall the other way, says the file that holds the values.
    static let tolerance = 0.0075

    @Test func scienceOnArcEasyIsAsAccurateAsInPyTorch() throws {
      try compare(try rows().filter { $0.file == "arc_easy.eval.jsonl" && $0.expert == "science" })
    }

    @Test(.enabled(if: longSweeps, "only in etc/test --all"))
    func allSixRowsAreAsAccurateAsInPyTorch() throws {
      let all = try rows()
      #expect(all.count == 6)
      try compare(all)
    }

    func rows() throws -> [Row] {
      let path = "\(repository)/Tests/Programs/EndToEndTests/Fixtures/accuracy.json"
      let file = try parseJSON(FileSystem.readAll(path, maximumBytes: 1 << 16))
      return try #require(file.objectValue?["rows"]?.arrayValue).map { value in
        let row = try #require(value.objectValue)
        return Row(
          file: try #require(row["file"]?.stringValue), n: try #require(row["n"]?.integerValue),
          expert: row["expert"]?.stringValue, acc: try #require(row["acc"]?.doubleValue),
          accNorm: try #require(row["acc_norm"]?.doubleValue))
      }
    }

    func compare(_ rows: [Row]) throws {
      #expect(!rows.isEmpty)
      try withDaemon { daemon in
        let client = try daemon.client()
        try addModel(daemon, client)
        try dropExperts(daemon)
        for file in Set(rows.map(\.file)).sorted() {
          try dropEvaluationTask(daemon, client, file, as: String(file.prefix { $0 != "." }))
        }
        for row in rows {
          let task = String(row.file.prefix { $0 != "." })
          var params: JSONObject = ["task": .string(task)]
          if let expert = row.expert { params["expert"] = .string(expert) } else { params["base"] = true }
          let job = try #require(try client.call("evaluate.run", params).objectValue?["job"]?.integerValue)
          let result = try #require(try daemon.finish(job, within: .seconds(1_800))["result"]?.objectValue)
          let name = "\(row.expert ?? "base") on \(row.file)"
          #expect(result["n"]?.integerValue == row.n, "\(name)")
          let acc = try #require(result["acc"]?.doubleValue)
          let accNorm = try #require(result["acc_norm"]?.doubleValue)
          #expect(abs(acc - row.acc) <= Self.tolerance, "acc of \(name): \(acc), PyTorch \(row.acc)")
          #expect(
            abs(accNorm - row.accNorm) <= Self.tolerance, "acc_norm of \(name): \(accNorm), PyTorch \(row.accNorm)")
        }
      }
    }
  }
}
