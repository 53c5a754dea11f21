import Daemon
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// Two dropped files whose `t2.name` is the same.
@Suite struct NameClashTests {
  private func message(_ file: String, _ daemon: Harness) throws -> String {
    let rows = try daemon.call("system.status")["ingest"]?.arrayValue ?? []
    return rows.first { $0["path"]?.stringValue?.hasSuffix("/" + file) == true }?["message"]?.stringValue ?? "not shown"
  }

  private func versions(_ daemon: Harness) throws -> [Int?] {
    try daemon.call("expert.list", ["all": true])["experts"]?.arrayValue?.map { $0["version"]?.intValue } ?? []
  }

  private func remove(_ file: String, _ daemon: Harness) throws {
    #expect(try FileSystem.remove("\(daemon.prefix)/var/spool/t2d/experts/\(file)"))
  }

  @Test func theSecondFileOfANameIsRefusedUntilTheFirstIsGone() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.drop("experts", "one.safetensors", expertBytes("trainer_default", value: 1.25))
      try daemon.sync()
      try daemon.drop("experts", "two.safetensors", expertBytes("trainer_default", value: 1.5))
      try daemon.sync()
      #expect(try daemon.ingestState(of: "two.safetensors") == "rejected")
      #expect(
        try message("two.safetensors", daemon)
          == "its name 'trainer_default' is that of the expert of 'one.safetensors', which is in this directory too and "
          + "has another content; give one of the two another t2.name, as t2ctl expert register --name does, or take one "
          + "away")
      #expect(try versions(daemon) == [1])

      // The first goes on as what it is, and a start changes nothing.
      try daemon.drop("experts", "one.safetensors", expertBytes("trainer_default", value: 1.75))
      try daemon.sync()
      #expect(try versions(daemon) == [1, 2])
      daemon.stop()
      try daemon.restart()
      try daemon.sync()
      #expect(try daemon.ingestState(of: "one.safetensors") == "accepted")
      #expect(try daemon.ingestState(of: "two.safetensors") == "rejected")

      try remove("one.safetensors", daemon)
      try daemon.sync()
      #expect(try daemon.ingestState(of: "two.safetensors") == "accepted")
      #expect(try versions(daemon) == [1, 2, 3])
    }
  }

  /// Of those that a scan finds at once one is the expert, and the other names it.
  @Test func ofTwoThatAreThereAtOnceOneIsTaken() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      daemon.stop()
      try daemon.drop("experts", "one.safetensors", expertBytes("same", value: 1.25))
      try daemon.drop("experts", "two.safetensors", expertBytes("same", value: 1.5))
      try daemon.drop("experts", "same.safetensors", expertBytes("other", value: 1.75))
      try daemon.restart()
      try daemon.sync()
      let states = try ["one.safetensors", "two.safetensors"].map { try daemon.ingestState(of: $0) }
      #expect(Set(states) == ["accepted", "rejected"])
      // The name of a file is not that of its expert.
      #expect(try daemon.ingestState(of: "same.safetensors") == "accepted")
    }
  }

  @Test func aRenamedFileGoesOnAsTheSameExpert() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.drop("experts", "one.safetensors", expertBytes("same", value: 1.25))
      try daemon.sync()
      let directory = "\(daemon.prefix)/var/spool/t2d/experts"
      try FileSystem.rename("\(directory)/one.safetensors", to: "\(directory)/renamed.safetensors")
      try daemon.sync()
      #expect(try daemon.ingestState(of: "renamed.safetensors") == "duplicate")
      #expect(try daemon.ingestState(of: "one.safetensors") == nil)
      // It holds the name as the first did, and changes as the first could.
      try daemon.drop("experts", "two.safetensors", expertBytes("same", value: 1.5))
      try daemon.sync()
      #expect(try message("two.safetensors", daemon).contains("that of the expert of 'renamed.safetensors'"))
      try daemon.drop("experts", "renamed.safetensors", expertBytes("same", value: 1.75))
      try daemon.sync()
      #expect(try daemon.ingestState(of: "renamed.safetensors") == "accepted")
      #expect(try versions(daemon) == [1, 2])
    }
  }

  @Test func aNameThatItsFileGivesUpIsTakenByTheOther() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.drop("experts", "one.safetensors", expertBytes("same", value: 1.25))
      try daemon.sync()
      try daemon.drop("experts", "two.safetensors", expertBytes("same", value: 1.5))
      try daemon.drop("experts", "copy.safetensors", expertBytes("same", value: 1.25))
      try daemon.sync()
      #expect(try daemon.ingestState(of: "copy.safetensors") == "duplicate")
      #expect(try daemon.ingestState(of: "two.safetensors") == "rejected")
      try remove("copy.safetensors", daemon)
      try daemon.sync()
      #expect(try daemon.ingestState(of: "two.safetensors") == "rejected")
      try daemon.drop("experts", "one.safetensors", expertBytes("another", value: 1.25))
      try daemon.sync()
      #expect(try daemon.ingestState(of: "two.safetensors") == "accepted")
    }
  }
}
