import StrictJSON
import SystemSupport
import TestSupport
import Testing

@testable import Registry

@Suite struct VersionNotesTests {
  private func notes(_ count: Int) -> [JSONObject] {
    (0..<count).map { ["expert": "science", "number": JSONValue($0)] }
  }

  @Test func aRunGoesOnWhereTheLastOneEnded() throws {
    try withTemporaryDirectory { directory in
      let path = directory + "/versions.jsonl"
      try VersionNotes.write(path, notes(2)).end(asOf: 7)
      #expect(try VersionNotes.open(path, asOf: 8) == nil)
      let next = try #require(try VersionNotes.open(path, asOf: 7))
      // Until it ends, they are not known to be whole.
      #expect(try VersionNotes.open(path, asOf: 7) == nil)
      try next.add(notes(1))
      try next.end(asOf: 9)
      #expect(try VersionNotes.open(path, asOf: 9) != nil)
      let read = try VersionNotes.read(path)
      #expect(read.notes == notes(2) + notes(1) && read.damaged == 0)
    }
  }

  @Test func whatHasGrownBeyondWhatCountsIsWrittenAnew() throws {
    try withTemporaryDirectory { directory in
      let path = directory + "/versions.jsonl"
      let first = try VersionNotes.write(path, notes(10))
      try first.add(notes(10))
      try first.end(asOf: 1)
      let second = try #require(try VersionNotes.open(path, asOf: 1, spare: 0))
      try second.add(notes(1))
      try second.end(asOf: 2)
      #expect(try VersionNotes.open(path, asOf: 2, spare: 0) == nil)
      // A few that are too many are no reason.
      #expect(try VersionNotes.open(path, asOf: 2) != nil)
    }
  }
}
