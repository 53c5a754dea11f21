import RPCClient
import StrictJSON
import SystemSupport
import TestSupport
import Testing

@testable import Daemon

/// Downloads and copies that are not at their end, told by what is in them.
@Suite struct UnfinishedFilesTests {
  private static let row = #"{"question": "What \"do\" bees {make}?", "answer": "honey é"}"#

  private static let whole: [String] = [
    row, row + "\n", row + "\n" + row, row + "\nno row", row + "\n}", "[\n  \(row)\n]\n", "question,answer\na,", "",
    "null",
    // An earlier line that is broken says nothing of the end.
    "\(row.dropLast(2))\n\(row)",
  ]
  private static let cut: [String] = [
    "\(row.dropLast())", "\(row.dropLast(3))", "\(row)\n\(row.prefix(14))", "\(row)\n{", "\u{FEFF}\(row.prefix(20))",
    "[\n  \(row),\n", "[\n  \(row),\n  {\n    \"question\": \"W",
  ]

  @Test(arguments: whole.map { ($0, false) } + cut.map { ($0, true) })
  func aFileThatEndsWithinARowIsSeen(text: String, isUnfinished: Bool) {
    #expect((UnfinishedRows.sign(in: Array(text.utf8)) != nil) == isUnfinished, "\(text)")
  }

  @Test func aCharacterThatIsCutIsOfTheEndAndOtherBytesAreNot() {
    let cut = Array(Self.row.utf8.dropLast(3))
    #expect(cut.last == 0xC3)
    #expect(UnfinishedRows.sign(in: cut) != nil)
    #expect(UnfinishedRows.sign(in: Array(#"{"question": "a"#.utf8) + [0xFF, 0xFE]) == nil)
  }

  @Test func zerosAtTheEndOfATextAreSeen() {
    let zeros = [UInt8](repeating: 0, count: 100)
    #expect(UnfinishedRows.sign(in: Array(Self.row.utf8) + zeros)?.hasPrefix("ends in 100 zero bytes") == true)
    #expect(UnfinishedRows.sign(in: zeros) != nil)
    #expect(UnfinishedRows.sign(in: [1, 0, 0, 0] + Array(Self.row.utf8) + zeros) == nil)
  }

  /// As `wget` writes it when its connection breaks: held, and taken when the rest is there.
  @Test(arguments: ["jsonl", "directory"])
  func aTaskThatIsCutWaitsForItsRest(form: String) throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      let whole = taskBytes(question: "What do bees make?")
      let file = form == "jsonl" ? "arc.jsonl" : "arc"
      func put(_ bytes: [UInt8]) throws {
        if form == "jsonl" { return try daemon.drop("tasks", "arc.jsonl", bytes) }
        try FileSystem.createDirectories("\(daemon.spool)/tasks/arc")
        try daemon.drop("tasks", "arc/eval.jsonl", bytes)
        try daemon.drop("tasks", "arc/fewshot.jsonl", taskBytes(question: "And what do cows make?"))
      }
      try put(whole.dropLast(30))
      try daemon.sync()
      let row = try daemon.ingestRow("tasks/\(file)")
      #expect(row?["state"] == "incomplete")
      #expect(row?["kind"] == "incomplete")
      #expect(row?["message"]?.stringValue?.contains("ends within a row") == true, "\(row?.jsonText ?? "")")
      try put(whole)
      try daemon.sync()
      #expect(try daemon.ingestRow("tasks/\(file)")?["state"] == "accepted")
      try daemon.emptySpool()
    }
  }

  /// Header and two thirds of the data, then zeros, in each space; with aria2's control file and without.
  @Test(arguments: [("multiplier", "all_zero"), ("logit", "end_of_zeros")])
  func aPreallocatedExpertIsHeldByItsSignAndRefusedWithoutIt(space: String, kind: String) throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      let whole = expertBytes("paused", value: 0.25, metadata: [("t2.param_space", space)])
      let data = TinyModel.targets.count * 16
      // Into the first of two vectors.
      let written = data / 2 - 4
      let paused = whole.dropLast(data - written) + [UInt8](repeating: 0, count: data - written)
      try daemon.drop("experts", "paused.safetensors.aria2", [UInt8](repeating: 1, count: 64))
      try daemon.drop("experts", "paused.safetensors", Array(paused))
      try daemon.sync()
      #expect(try daemon.ingestRow("experts/paused.safetensors")?["state"] == "incomplete")
      #expect(try FileSystem.remove("\(daemon.spool)/experts/paused.safetensors.aria2"))
      try daemon.sync()
      let row = try daemon.ingestRow("experts/paused.safetensors")
      #expect(row?["state"] == "rejected")
      #expect(row?["kind"]?.stringValue == kind, "\(row?.jsonText ?? "")")
      #expect(row?["message"]?.stringValue?.contains("a download that did not reach its end") == true)
      #expect(try daemon.call("expert.list")["experts"] == [])
      try daemon.drop("experts", "paused.safetensors", whole)
      try daemon.sync()
      #expect(try daemon.ingestRow("experts/paused.safetensors")?["state"] == "accepted")
      try daemon.emptySpool()
    }
  }
}
