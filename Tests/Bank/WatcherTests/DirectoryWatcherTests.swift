import Glibc
import SystemSupport
import Testing
import Watcher

/// Waiting times so long that only what does not wait can pass.
private var patient: DirectoryWatcher.Settings {
  var settings = DirectoryWatcher.Settings()
  settings.periods.afterClose = .seconds(3600)
  settings.periods.afterCreate = .seconds(3600)
  return settings
}

/// Waiting times for tests that wait for them.
private var quick: DirectoryWatcher.Settings {
  var settings = DirectoryWatcher.Settings()
  settings.periods.afterClose = .milliseconds(10)
  settings.periods.afterCreate = .milliseconds(30)
  settings.periods.firstRetry = .milliseconds(10)
  settings.pollPeriod = .milliseconds(30)
  return settings
}

private var polling: DirectoryWatcher.Settings {
  var settings = quick
  settings.mode = .poll
  return settings
}

struct DirectoryWatcherTests {
  @Test func aRenamedFileIsTakenAtOnce() throws {
    try withPlace { place in
      try place.start(patient)
      try place.put("a.safetensors", "one END")
      #expect(place.waitTaken("a.safetensors", ["one END"]))
    }
  }

  @Test func whatWasThereBeforeTheStartIsTaken() throws {
    try withPlace { place in
      try place.write("a.safetensors", "one END")
      try place.write("b.safetensors", "two END")
      try place.start(patient)
      #expect(place.waitTaken("a.safetensors", ["one END"]))
      #expect(place.waitTaken("b.safetensors", ["two END"]))
    }
  }

  @Test(arguments: [DirectoryWatcher.Settings.Mode.auto, .poll])
  func aCopiedFileIsTakenWhole(mode: DirectoryWatcher.Settings.Mode) throws {
    try withPlace { place in
      try place.start(mode == .poll ? polling : quick)
      try place.write("a.safetensors", String(repeating: "x", count: 100_000) + "END")
      #expect(place.wait { place.taken("a.safetensors").last?.utf8.count == 100_003 })
      // Over an existing one: truncated first, the same inode.
      try place.write("a.safetensors", "two END")
      #expect(place.wait { place.taken("a.safetensors").last == "two END" })
    }
  }

  @Test(arguments: [DirectoryWatcher.Settings.Mode.auto, .poll])
  func aSlowWriterIsNeverTakenBeforeItsEnd(mode: DirectoryWatcher.Settings.Mode) throws {
    try withPlace { place in
      try place.start(mode == .poll ? polling : quick)
      // Each part could be the end.
      let file = try FileDescriptor.open("\(place.drop)/a.safetensors", O_WRONLY | O_CREAT, mode: 0o644)
      for _ in 0..<5 {
        try file.write(all: Array("part END".utf8))
        let before = place.attempts("a.safetensors")
        #expect(place.wait { place.attempts("a.safetensors") > before })
      }
      #expect(place.taken("a.safetensors") == [])
      try file.write(all: Array("last END".utf8))
      try file.close()
      #expect(place.waitTaken("a.safetensors", [String(repeating: "part END", count: 5) + "last END"]))
    }
  }

  @Test func aChunkedAppendEndsInItsLastState() throws {
    try withPlace { place in
      try place.start(quick)
      for part in ["one ", "two ", "END"] {
        let file = try FileDescriptor.open(
          "\(place.drop)/a.safetensors", O_WRONLY | O_CREAT | O_APPEND, mode: 0o644)
        try file.write(all: Array(part.utf8))
        try file.close()
      }
      #expect(place.waitTaken("a.safetensors", ["one two END"]))
    }
  }

  @Test func theEndOfAWriteIsWaitedForAndNotOnlyItsBeginning() throws {
    var settings = quick
    settings.periods.afterCreate = .seconds(3600)
    try withPlace { place in
      try place.start(settings)
      try place.write("a.safetensors", "one END")
      #expect(place.waitTaken("a.safetensors", ["one END"]))
    }
  }

  @Test func aWriteIntoAFileThatWasTakenIsSeenBeforeItsEnd() throws {
    var settings = quick
    settings.periods.afterClose = .seconds(3600)
    try withPlace { place in
      try place.start(settings)
      try place.put("a.safetensors", "one END")
      #expect(place.waitTaken("a.safetensors", ["one END"]))
      let file = try FileDescriptor.open("\(place.drop)/a.safetensors", O_WRONLY | O_APPEND)
      try file.write(all: Array(" two".utf8))
      #expect(place.wait { place.attempts("a.safetensors") > 1 })
      #expect(place.taken("a.safetensors") == ["one END"])
      try file.close()
    }
  }

  @Test func aChangeOfModeLeadsToAnotherAttempt() throws {
    try withPlace { place in
      place.change { $0.trouble = ["a.safetensors"] }
      try place.start(quick)
      try place.put("a.safetensors", "one END")
      #expect(try place.sync() == .done)
      place.change { $0.trouble = [] }
      #expect(unsafe chmod("\(place.drop)/a.safetensors", 0o640) == 0)
      #expect(place.waitTaken("a.safetensors", ["one END"]))
    }
  }

  @Test func aHardLinkIsTakenThoughNobodyClosesIt() throws {
    try withPlace { place in
      try place.start(quick)
      try FileSystem.writeAtomically("\(place.path)/outside", Array("linked END".utf8))
      #expect(unsafe link("\(place.path)/outside", "\(place.drop)/a.safetensors") == 0)
      #expect(place.waitTaken("a.safetensors", ["linked END"]))
    }
  }

  @Test func aWriteThroughALinkElsewhereIsFoundByTheNextScan() throws {
    try withPlace { place in
      try place.start(quick)
      try FileSystem.writeAtomically("\(place.path)/outside", Array("one END".utf8))
      #expect(unsafe link("\(place.path)/outside", "\(place.drop)/a.safetensors") == 0)
      #expect(place.waitTaken("a.safetensors", ["one END"]))
      let writer = try FileDescriptor.open("\(place.path)/outside", O_WRONLY | O_APPEND)
      try writer.write(all: Array(" two END".utf8))
      try writer.close()
      place.watcher.rescan()
      #expect(place.waitTaken("a.safetensors", ["one END", "one END two END"]))
    }
  }

  @Test func aScanDoesNotAnnounceAgainWhatDidNotChange() throws {
    try withPlace { place in
      try place.put("a.safetensors", "one END")
      try place.start(quick)
      #expect(try place.sync() == .done)
      place.watcher.rescan()
      #expect(try place.sync() == .done)
      #expect(place.attempts("a.safetensors") == 1)
    }
  }

  @Test(arguments: [DirectoryWatcher.Settings.Mode.auto, .poll])
  func aRemovedOrRenamedFileVanishes(mode: DirectoryWatcher.Settings.Mode) throws {
    try withPlace { place in
      try place.start(mode == .poll ? polling : quick)
      try place.put("a.safetensors", "one END")
      #expect(place.waitTaken("a.safetensors", ["one END"]))
      try FileSystem.rename("\(place.drop)/a.safetensors", to: "\(place.drop)/b.safetensors")
      #expect(place.waitEvent("vanished a.safetensors"))
      #expect(place.waitTaken("b.safetensors", ["one END"]))
      try FileSystem.remove("\(place.drop)/b.safetensors")
      #expect(place.waitEvent("vanished b.safetensors"))
    }
  }

  @Test func linksAndOddNamesAreToldOnceAndNotTaken() throws {
    try withPlace { place in
      try place.start(quick)
      #expect(unsafe symlink("/etc/hostname", "\(place.drop)/l.safetensors") == 0)
      #expect(unsafe mkfifo("\(place.drop)/f.safetensors", 0o600) == 0)
      try place.write("notes.txt", "x")
      try place.write("e.pt", "x")
      let directory = try FileDescriptor.open(place.drop, O_RDONLY | O_DIRECTORY)
      let broken: [CChar] = [-1, 10] + ".safetensors".utf8.map { CChar(bitPattern: $0) } + [0]
      close(unsafe openat(directory.number, broken, O_WRONLY | O_CREAT, 0o600))
      #expect(try place.sync() == .done)
      place.watcher.rescan()
      #expect(try place.sync() == .done)
      let told = place.events.filter { !$0.hasPrefix("condition") }.sorted()
      #expect(
        told == [
          "ignored notes.txt ending",
          "rejected \\xff\\x0a.safetensors bad_name: only letters, digits, '.', '_' and '-' are allowed",
          "rejected e.pt pickle_not_supported: import it with t2ctl expert import",
          "rejected f.safetensors not_a_file: it is a FIFO",
          "rejected l.safetensors not_a_file: it is a symbolic link",
        ])
      // A file in its place is taken.
      try place.put("l.safetensors", "now END")
      #expect(place.waitTaken("l.safetensors", ["now END"]))
      unsafe unlinkat(directory.number, broken, 0)
      #expect(place.waitEvent("vanished \\xff"))
    }
  }

  @Test func aHalfFileIsRetriedThenReportedThenTakenWhenItChanges() throws {
    var settings = quick
    settings.periods.longestRetry = .milliseconds(20)
    settings.periods.incompleteTimeout = .milliseconds(100)
    try withPlace { place in
      try place.start(settings)
      try place.write("a.safetensors", "half")
      #expect(place.waitEvent("incomplete a.safetensors"))
      #expect(place.attempts("a.safetensors") > 2)
      #expect(place.wait { place.watcher.status.incomplete == ["experts/a.safetensors"] })
      let file = try FileDescriptor.open("\(place.drop)/a.safetensors", O_WRONLY | O_APPEND)
      try file.write(all: Array(" END".utf8))
      try file.close()
      #expect(place.waitTaken("a.safetensors", ["half END"]))
      #expect(try place.sync() == .done)
      #expect(place.watcher.status.incomplete == [])
    }
  }

  @Test func ourOwnTroubleIsTriedAgainByTheNextScan() throws {
    try withPlace { place in
      place.change { $0.trouble = ["a.safetensors"] }
      try place.start(patient)
      try place.put("a.safetensors", "one END")
      #expect(try place.sync() == .done)
      #expect(place.taken("a.safetensors") == [])
      place.change { $0.trouble = [] }
      place.watcher.rescan()
      #expect(place.waitTaken("a.safetensors", ["one END"]))
    }
  }

  @Test func manyRenamesOfOneNameEndInTheLast() throws {
    try withPlace { place in
      try place.start(quick)
      for round in 0..<500 { try place.put("a.safetensors", "\(round) END") }
      #expect(try place.sync() == .done)
      #expect(place.taken("a.safetensors").last == "499 END")
    }
  }
}

struct DirectoryWatcherSyncTests {
  @Test(arguments: [DirectoryWatcher.Settings.Mode.auto, .poll])
  func whatWasWrittenBeforeASyncIsSeenWhenItReturns(mode: DirectoryWatcher.Settings.Mode) throws {
    try withPlace { place in
      // Long waiting times: sync must cut them short.
      var settings = patient
      settings.mode = mode
      settings.pollPeriod = .seconds(3600)
      try place.start(settings)
      for round in 0..<200 {
        let content = "\(round) END"
        switch round % 3 {
        case 0: try place.write("a.safetensors", content)
        case 1: try place.put("a.safetensors", content)
        default:
          try FileSystem.writeAtomically("\(place.path)/outside", Array(content.utf8))
          try FileSystem.remove("\(place.drop)/a.safetensors")
          #expect(unsafe link("\(place.path)/outside", "\(place.drop)/a.safetensors") == 0)
        }
        #expect(try place.sync() == .done)
        #expect(place.taken("a.safetensors").last == content)
      }
      #expect(try FileSystem.entries("\(place.path)/cookies") == [])
    }
  }

  @Test func aHalfFileDoesNotHoldASyncUp() throws {
    try withPlace { place in
      try place.start(patient)
      try place.write("a.safetensors", "half")
      #expect(try place.sync() == .done)
      #expect(place.attempts("a.safetensors") == 1)
    }
  }

  @Test func aSyncWaitsForTheAttemptAndNotOnlyForTheEvent() throws {
    try withPlace { place in
      place.change { $0.isHeld = true }
      try place.start(patient)
      try place.put("a.safetensors", "one END")
      #expect(try place.sync(.milliseconds(50)) == .timedOut)
      place.change { $0.isHeld = false }
      #expect(try place.sync() == .done)
      #expect(place.taken("a.safetensors") == ["one END"])
    }
  }

  @Test func aStoppedWatcherAnswersItsSyncs() throws {
    try withPlace { place in
      place.change { $0.isHeld = true }
      try place.start(patient)
      try place.put("a.safetensors", "one END")
      let asked = try EventDescriptor()
      let stopper = try OwnedThread(name: "stopper") {
        _ = place.wait { !place.events.isEmpty && asked.drain() }
        place.watcher.stop()
      }
      asked.signal()
      let result = try place.sync(.seconds(20))
      #expect(result == .stopped)
      stopper.join()
    }
  }

  @Test func lostEventsAreFoundByAScan() throws {
    let text = String(decoding: try FileSystem.readVirtual("/proc/sys/fs/inotify/max_queued_events"), as: UTF8.self)
    let limit = Int(text.filter(\.isNumber)) ?? 16_384
    try withPlace { place in
      try place.start(patient)
      try place.put("old.safetensors", "old END")
      #expect(place.waitTaken("old.safetensors", ["old END"]))
      try place.closeGate()
      // Events of equal files coalesce, so there are two names.
      let directory = try FileDescriptor.open(place.drop, O_RDONLY | O_DIRECTORY)
      for round in 0..<(limit / 2 + 200) {
        close(unsafe openat(directory.number, ".x\(round % 2)", O_WRONLY | O_CREAT, 0o600))
        unsafe unlinkat(directory.number, ".x\(round % 2)", 0)
      }
      try place.put("late.safetensors", "late END")
      try FileSystem.remove("\(place.drop)/old.safetensors")
      place.openGate()
      #expect(try place.sync() == .done)
      #expect(place.taken("late.safetensors") == ["late END"])
      #expect(place.events.contains("vanished old.safetensors"))
      #expect(place.watcher.status.overflows >= 1)
    }
  }
}

struct DirectoryWatcherReplacementTests {
  @Test(arguments: [DirectoryWatcher.Settings.Mode.auto, .poll])
  func aReplacedDirectoryIsNoticed(mode: DirectoryWatcher.Settings.Mode) throws {
    try withPlace { place in
      try place.start(mode == .poll ? polling : quick)
      try place.put("a.safetensors", "one END")
      #expect(place.waitTaken("a.safetensors", ["one END"]))
      try FileSystem.createDirectories("\(place.path)/other")
      try FileSystem.writeAtomically("\(place.path)/other/b.safetensors", Array("two END".utf8))
      try FileSystem.exchange(place.drop, "\(place.path)/other")
      #expect(place.waitTaken("b.safetensors", ["two END"]))
      #expect(place.waitEvent("vanished a.safetensors"))
      // What happens in the old one is nobody's business any more; the new one is watched.
      try FileSystem.writeAtomically("\(place.path)/other/old.safetensors", Array("old END".utf8))
      try place.put("c.safetensors", "three END")
      #expect(place.waitTaken("c.safetensors", ["three END"]))
      #expect(place.attempts("old.safetensors") == 0)
    }
  }

  @Test(arguments: [DirectoryWatcher.Settings.Mode.auto, .poll])
  func aRemovedDirectoryIsMissingUntilItIsMadeAgain(mode: DirectoryWatcher.Settings.Mode) throws {
    try withPlace { place in
      try place.start(mode == .poll ? polling : quick)
      try place.put("a.safetensors", "one END")
      #expect(place.waitTaken("a.safetensors", ["one END"]))
      try FileSystem.rename(place.drop, to: "\(place.path)/away")
      #expect(place.waitEvent("condition missing"))
      // An unmounted directory says nothing about its files.
      #expect(!place.events.contains("vanished a.safetensors"))
      try FileSystem.createDirectories("\(place.path)/new")
      try FileSystem.writeAtomically("\(place.path)/new/b.safetensors", Array("two END".utf8))
      try FileSystem.rename("\(place.path)/new", to: place.drop)
      #expect(place.waitTaken("b.safetensors", ["two END"]))
      #expect(place.waitEvent("vanished a.safetensors"))
      try FileSystem.removeTree(place.drop)
      try FileSystem.createDirectories(place.drop)
      try place.put("c.safetensors", "three END")
      #expect(place.waitTaken("c.safetensors", ["three END"]))
    }
  }

  @Test func aDirectoryThatBecomesALinkIsNotFollowed() throws {
    try withPlace { place in
      try place.start(quick)
      try place.put("a.safetensors", "one END")
      #expect(place.waitTaken("a.safetensors", ["one END"]))
      try FileSystem.rename(place.drop, to: "\(place.path)/away")
      #expect(unsafe symlink("\(place.path)/away", place.drop) == 0)
      #expect(place.waitEvent("condition unreadable"))
      try FileSystem.remove(place.drop)
      try FileSystem.rename("\(place.path)/away", to: place.drop)
      try place.put("b.safetensors", "two END")
      #expect(place.waitTaken("b.safetensors", ["two END"]))
    }
  }

  @Test func aDirectoryThatIsNotThereAtTheStartIsWaitedFor() throws {
    try withPlace { place in
      try FileSystem.removeTree(place.drop)
      try place.start(quick)
      #expect(place.waitEvent("condition missing"))
      try FileSystem.createDirectories(place.drop)
      try place.put("a.safetensors", "one END")
      #expect(place.waitTaken("a.safetensors", ["one END"]))
    }
  }
}

struct DirectoryWatcherTaskTests {
  @Test(arguments: [DirectoryWatcher.Settings.Mode.auto, .poll])
  func aDirectoryCountsAsOneItemAndAChangeInsideAnnouncesIt(mode: DirectoryWatcher.Settings.Mode) throws {
    try withPlace { place in
      try place.start(mode == .poll ? polling : quick, rules: .tasks)
      try FileSystem.createDirectories("\(place.drop)/arc")
      try place.write("arc/fewshot.jsonl", "{}")
      #expect(place.wait { place.taken("arc").last == "fewshot.jsonl" })
      try place.write("arc/task.json5", "{}")
      #expect(place.wait { place.taken("arc").last == "fewshot.jsonl,task.json5" })
      let count = place.attempts("arc")
      try place.write("arc/task.json5", "{a: 1}")
      #expect(place.wait { place.attempts("arc") > count })
      try FileSystem.remove("\(place.drop)/arc/task.json5")
      #expect(place.wait { place.taken("arc").last == "fewshot.jsonl" })
      try FileSystem.removeTree("\(place.drop)/arc")
      #expect(place.waitEvent("vanished arc"))
      try place.put("gsm.jsonl", "{} END")
      #expect(place.waitTaken("gsm.jsonl", ["{} END"]))
    }
  }

  @Test func aDirectoryMadeAndFilledInOneGoIsWholeAtTheNextSync() throws {
    try withPlace { place in
      try place.start(patient, rules: .tasks)
      for round in 0..<50 {
        try FileSystem.createDirectories("\(place.drop)/t\(round)")
        try place.write("t\(round)/fewshot.jsonl", "{}")
        try place.write("t\(round)/eval.jsonl", "{}")
        #expect(try place.sync() == .done)
        #expect(place.taken("t\(round)").last == "eval.jsonl,fewshot.jsonl")
      }
    }
  }

  @Test func aDirectoryRenamedIntoPlaceIsTakenAtOnce() throws {
    try withPlace { place in
      try place.start(patient, rules: .tasks)
      try FileSystem.createDirectories("\(place.path)/build")
      try FileSystem.writeAtomically("\(place.path)/build/fewshot.jsonl", [1])
      try FileSystem.rename("\(place.path)/build", to: "\(place.drop)/arc")
      #expect(place.waitTaken("arc", ["fewshot.jsonl"]))
      // A change in a directory that came whole is seen too.
      try place.write("arc/.hidden", "x")
      try FileSystem.writeAtomically("\(place.path)/new", [1])
      try FileSystem.rename("\(place.path)/new", to: "\(place.drop)/arc/eval.jsonl")
      #expect(place.wait { place.taken("arc").last == "eval.jsonl,fewshot.jsonl" })
    }
  }
}
