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
    try withWatcher { harness in
      try harness.start(patient)
      try harness.put("a.safetensors", "one END")
      #expect(harness.waitTaken("a.safetensors", ["one END"]))
    }
  }

  @Test func whatWasThereBeforeTheStartIsTaken() throws {
    try withWatcher { harness in
      try harness.write("a.safetensors", "one END")
      try harness.write("b.safetensors", "two END")
      try harness.start(patient)
      #expect(harness.waitTaken("a.safetensors", ["one END"]))
      #expect(harness.waitTaken("b.safetensors", ["two END"]))
    }
  }

  @Test(arguments: [DirectoryWatcher.Settings.Mode.auto, .poll])
  func aCopiedFileIsTakenWhole(mode: DirectoryWatcher.Settings.Mode) throws {
    try withWatcher { harness in
      try harness.start(mode == .poll ? polling : quick)
      try harness.write("a.safetensors", String(repeating: "x", count: 100_000) + "END")
      #expect(harness.wait { harness.taken("a.safetensors").last?.utf8.count == 100_003 })
      // Over an existing one: truncated first, the same inode.
      try harness.write("a.safetensors", "two END")
      #expect(harness.wait { harness.taken("a.safetensors").last == "two END" })
    }
  }

  @Test(arguments: [DirectoryWatcher.Settings.Mode.auto, .poll])
  func aSlowWriterIsNeverTakenBeforeItsEnd(mode: DirectoryWatcher.Settings.Mode) throws {
    try withWatcher { harness in
      try harness.start(mode == .poll ? polling : quick)
      // Each part could be the end.
      let file = try FileDescriptor.open("\(harness.drop)/a.safetensors", O_WRONLY | O_CREAT, mode: 0o644)
      for _ in 0..<5 {
        try file.write(all: Array("part END".utf8))
        let before = harness.attempts("a.safetensors")
        #expect(harness.wait { harness.attempts("a.safetensors") > before })
      }
      #expect(harness.taken("a.safetensors") == [])
      try file.write(all: Array("last END".utf8))
      try file.close()
      #expect(harness.waitTaken("a.safetensors", [String(repeating: "part END", count: 5) + "last END"]))
    }
  }

  @Test func aChunkedAppendEndsInItsLastState() throws {
    try withWatcher { harness in
      try harness.start(quick)
      for part in ["one ", "two ", "END"] {
        let file = try FileDescriptor.open(
          "\(harness.drop)/a.safetensors", O_WRONLY | O_CREAT | O_APPEND, mode: 0o644)
        try file.write(all: Array(part.utf8))
        try file.close()
      }
      #expect(harness.waitTaken("a.safetensors", ["one two END"]))
    }
  }

  @Test func theEndOfAWriteIsWaitedForAndNotOnlyItsBeginning() throws {
    var settings = quick
    settings.periods.afterCreate = .seconds(3600)
    try withWatcher { harness in
      try harness.start(settings)
      try harness.write("a.safetensors", "one END")
      #expect(harness.waitTaken("a.safetensors", ["one END"]))
    }
  }

  @Test func aWriteIntoAFileThatWasTakenIsSeenBeforeItsEnd() throws {
    var settings = quick
    settings.periods.afterClose = .seconds(3600)
    try withWatcher { harness in
      try harness.start(settings)
      try harness.put("a.safetensors", "one END")
      #expect(harness.waitTaken("a.safetensors", ["one END"]))
      let file = try FileDescriptor.open("\(harness.drop)/a.safetensors", O_WRONLY | O_APPEND)
      try file.write(all: Array(" two".utf8))
      #expect(harness.wait { harness.attempts("a.safetensors") > 1 })
      #expect(harness.taken("a.safetensors") == ["one END"])
      try file.close()
    }
  }

  @Test func aChangeOfModeLeadsToAnotherAttempt() throws {
    try withWatcher { harness in
      harness.change { $0.trouble = ["a.safetensors"] }
      try harness.start(quick)
      try harness.put("a.safetensors", "one END")
      #expect(try harness.sync() == .done)
      harness.change { $0.trouble = [] }
      #expect(unsafe chmod("\(harness.drop)/a.safetensors", 0o640) == 0)
      #expect(harness.waitTaken("a.safetensors", ["one END"]))
    }
  }

  @Test func aHardLinkIsTakenThoughNobodyClosesIt() throws {
    try withWatcher { harness in
      try harness.start(quick)
      try FileSystem.writeAtomically("\(harness.path)/outside", Array("linked END".utf8))
      #expect(unsafe link("\(harness.path)/outside", "\(harness.drop)/a.safetensors") == 0)
      #expect(harness.waitTaken("a.safetensors", ["linked END"]))
    }
  }

  @Test func aWriteThroughALinkElsewhereIsFoundByTheNextScan() throws {
    try withWatcher { harness in
      try harness.start(quick)
      try FileSystem.writeAtomically("\(harness.path)/outside", Array("one END".utf8))
      #expect(unsafe link("\(harness.path)/outside", "\(harness.drop)/a.safetensors") == 0)
      #expect(harness.waitTaken("a.safetensors", ["one END"]))
      let writer = try FileDescriptor.open("\(harness.path)/outside", O_WRONLY | O_APPEND)
      try writer.write(all: Array(" two END".utf8))
      try writer.close()
      harness.watcher.rescan()
      #expect(harness.waitTaken("a.safetensors", ["one END", "one END two END"]))
    }
  }

  @Test func aScanDoesNotAnnounceAgainWhatDidNotChange() throws {
    try withWatcher { harness in
      try harness.put("a.safetensors", "one END")
      try harness.start(quick)
      #expect(try harness.sync() == .done)
      harness.watcher.rescan()
      #expect(try harness.sync() == .done)
      #expect(harness.attempts("a.safetensors") == 1)
    }
  }

  @Test(arguments: [DirectoryWatcher.Settings.Mode.auto, .poll])
  func aRemovedOrRenamedFileVanishes(mode: DirectoryWatcher.Settings.Mode) throws {
    try withWatcher { harness in
      try harness.start(mode == .poll ? polling : quick)
      try harness.put("a.safetensors", "one END")
      #expect(harness.waitTaken("a.safetensors", ["one END"]))
      try FileSystem.rename("\(harness.drop)/a.safetensors", to: "\(harness.drop)/b.safetensors")
      #expect(harness.waitEvent("vanished a.safetensors"))
      #expect(harness.waitTaken("b.safetensors", ["one END"]))
      try FileSystem.remove("\(harness.drop)/b.safetensors")
      #expect(harness.waitEvent("vanished b.safetensors"))
    }
  }

  @Test func linksAndOddNamesAreToldOnceAndNotTaken() throws {
    try withWatcher { harness in
      try harness.start(quick)
      #expect(unsafe symlink("/etc/hostname", "\(harness.drop)/l.safetensors") == 0)
      #expect(unsafe mkfifo("\(harness.drop)/f.safetensors", 0o600) == 0)
      try harness.write("notes.txt", "x")
      try harness.write("e.pt", "x")
      let directory = try FileDescriptor.open(harness.drop, O_RDONLY | O_DIRECTORY)
      let broken: [CChar] = [-1, 10] + ".safetensors".utf8.map { CChar(bitPattern: $0) } + [0]
      close(unsafe openat(directory.number, broken, O_WRONLY | O_CREAT, 0o600))
      #expect(try harness.sync() == .done)
      harness.watcher.rescan()
      #expect(try harness.sync() == .done)
      let told = harness.events.filter { !$0.hasPrefix("condition") }.sorted()
      #expect(
        told == [
          "ignored notes.txt ending",
          "rejected \\xff\\n.safetensors bad_name: only letters, digits, '.', '_' and '-' are allowed",
          "rejected e.pt pickle_not_supported: import it with t2ctl expert import",
          "rejected f.safetensors not_a_file: it is a FIFO; drop a regular file",
          "rejected l.safetensors symbolic_link: 'l.safetensors' is a symbolic link to '/etc/hostname'; links are not "
            + "followed: put a copy in its place: cp -L l.safetensors .l.safetensors && mv -T .l.safetensors l.safetensors",
        ])
      // A file in its place is taken.
      try harness.put("l.safetensors", "now END")
      #expect(harness.waitTaken("l.safetensors", ["now END"]))
      unsafe unlinkat(directory.number, broken, 0)
      #expect(harness.waitEvent("vanished \\xff"))
    }
  }

  @Test func aHalfFileIsRetriedThenReportedThenTakenWhenItChanges() throws {
    var settings = quick
    settings.periods.longestRetry = .milliseconds(20)
    settings.periods.incompleteTimeout = .milliseconds(100)
    try withWatcher { harness in
      try harness.start(settings)
      try harness.write("a.safetensors", "half")
      #expect(harness.waitEvent("incomplete a.safetensors"))
      #expect(harness.attempts("a.safetensors") > 2)
      #expect(harness.wait { harness.watcher.status.incomplete == ["experts/a.safetensors"] })
      let file = try FileDescriptor.open("\(harness.drop)/a.safetensors", O_WRONLY | O_APPEND)
      try file.write(all: Array(" END".utf8))
      try file.close()
      #expect(harness.waitTaken("a.safetensors", ["half END"]))
      #expect(try harness.sync() == .done)
      #expect(harness.watcher.status.incomplete == [])
    }
  }

  @Test(arguments: [DirectoryWatcher.Settings.Mode.auto, .poll])
  func theEndOfADownloadIsAnEventOfItsFile(mode: DirectoryWatcher.Settings.Mode) throws {
    var settings = mode == .poll ? polling : quick
    settings.periods.incompleteTimeout = .milliseconds(50)
    try withWatcher { harness in
      try harness.start(settings)
      try harness.write("a.safetensors.aria2", "state")
      try harness.put("a.safetensors", "whole END")
      #expect(harness.waitEvent("incomplete a.safetensors"))
      #expect(harness.taken("a.safetensors") == [])
      // Its own file stays as it is.
      try FileSystem.remove("\(harness.drop)/a.safetensors.aria2")
      #expect(harness.waitTaken("a.safetensors", ["whole END"]))
    }
  }

  @Test func ourOwnTroubleIsTriedAgainByItself() throws {
    try withWatcher { harness in
      harness.change { $0.trouble = ["a.safetensors"] }
      try harness.start(quick)
      try harness.put("a.safetensors", "one END")
      #expect(harness.wait { harness.attempts("a.safetensors") > 3 })
      #expect(harness.taken("a.safetensors") == [])
      harness.change { $0.trouble = [] }
      #expect(harness.waitTaken("a.safetensors", ["one END"]))
    }
  }

  @Test(arguments: [true, false])
  func ourOwnTroubleIsTriedAgainAtOnceByASyncAndByARescan(bySync: Bool) throws {
    try withWatcher { harness in
      var settings = patient
      settings.periods.firstRetry = .seconds(3600)
      settings.periods.longestRetry = .seconds(3600)
      harness.change { $0.trouble = ["a.safetensors"] }
      try harness.start(settings)
      try harness.put("a.safetensors", "one END")
      #expect(try harness.sync() == .done)
      #expect(harness.taken("a.safetensors") == [])
      harness.change { $0.trouble = [] }
      if bySync {
        #expect(try harness.sync() == .done)
        #expect(harness.taken("a.safetensors") == ["one END"])
      } else {
        harness.watcher.rescan()
        #expect(harness.waitTaken("a.safetensors", ["one END"]))
      }
    }
  }

  @Test func aFileInTroubleThatGoesIsForgotten() throws {
    try withWatcher { harness in
      harness.change { $0.trouble = ["a.safetensors"] }
      try harness.start(patient)
      try harness.put("a.safetensors", "one END")
      #expect(try harness.sync() == .done)
      try FileSystem.remove("\(harness.drop)/a.safetensors")
      #expect(harness.waitEvent("vanished a.safetensors"))
    }
  }

  @Test func manyRenamesOfOneNameEndInTheLast() throws {
    try withWatcher { harness in
      try harness.start(quick)
      for round in 0..<500 { try harness.put("a.safetensors", "\(round) END") }
      #expect(try harness.sync() == .done)
      #expect(harness.taken("a.safetensors").last == "499 END")
    }
  }
}

struct DirectoryWatcherSyncTests {
  @Test(arguments: [DirectoryWatcher.Settings.Mode.auto, .poll])
  func whatWasWrittenBeforeASyncIsSeenWhenItReturns(mode: DirectoryWatcher.Settings.Mode) throws {
    try withWatcher { harness in
      // Long waiting times: sync must cut them short.
      var settings = patient
      settings.mode = mode
      settings.pollPeriod = .seconds(3600)
      try harness.start(settings)
      for round in 0..<200 {
        let content = "\(round) END"
        switch round % 3 {
        case 0: try harness.write("a.safetensors", content)
        case 1: try harness.put("a.safetensors", content)
        default:
          try FileSystem.writeAtomically("\(harness.path)/outside", Array(content.utf8))
          try FileSystem.remove("\(harness.drop)/a.safetensors")
          #expect(unsafe link("\(harness.path)/outside", "\(harness.drop)/a.safetensors") == 0)
        }
        #expect(try harness.sync() == .done)
        #expect(harness.taken("a.safetensors").last == content)
      }
      #expect(try FileSystem.entries("\(harness.path)/cookies") == [])
    }
  }

  @Test func aHalfFileDoesNotHoldASyncUp() throws {
    try withWatcher { harness in
      try harness.start(patient)
      try harness.write("a.safetensors", "half")
      #expect(try harness.sync() == .done)
      #expect(harness.attempts("a.safetensors") == 1)
    }
  }

  @Test func aSyncWaitsForTheAttemptAndNotOnlyForTheEvent() throws {
    try withWatcher { harness in
      harness.change { $0.isHeld = true }
      try harness.start(patient)
      try harness.put("a.safetensors", "one END")
      #expect(try harness.sync(.milliseconds(50)) == .timedOut)
      harness.change { $0.isHeld = false }
      #expect(try harness.sync() == .done)
      #expect(harness.taken("a.safetensors") == ["one END"])
    }
  }

  @Test func aStoppedWatcherAnswersItsSyncs() throws {
    try withWatcher { harness in
      harness.change { $0.isHeld = true }
      try harness.start(patient)
      try harness.put("a.safetensors", "one END")
      let asked = try EventDescriptor()
      let stopper = try OwnedThread(name: "stopper") {
        _ = harness.wait { !harness.events.isEmpty && asked.drain() }
        harness.watcher.stop()
      }
      asked.signal()
      let result = try harness.sync(.seconds(20))
      #expect(result == .stopped)
      stopper.join()
    }
  }

  @Test func lostEventsAreFoundByAScan() throws {
    let text = String(decoding: try FileSystem.readVirtual("/proc/sys/fs/inotify/max_queued_events"), as: UTF8.self)
    let limit = Int(text.filter(\.isNumber)) ?? 16_384
    try withWatcher { harness in
      try harness.start(patient)
      try harness.put("old.safetensors", "old END")
      #expect(harness.waitTaken("old.safetensors", ["old END"]))
      try harness.closeGate()
      // Events of equal files coalesce, so there are two names.
      let directory = try FileDescriptor.open(harness.drop, O_RDONLY | O_DIRECTORY)
      for round in 0..<(limit / 2 + 200) {
        close(unsafe openat(directory.number, ".x\(round % 2)", O_WRONLY | O_CREAT, 0o600))
        unsafe unlinkat(directory.number, ".x\(round % 2)", 0)
      }
      try harness.put("late.safetensors", "late END")
      try FileSystem.remove("\(harness.drop)/old.safetensors")
      harness.openGate()
      #expect(try harness.sync() == .done)
      #expect(harness.taken("late.safetensors") == ["late END"])
      #expect(harness.events.contains("vanished old.safetensors"))
      #expect(harness.watcher.status.overflows >= 1)
    }
  }
}

struct DirectoryWatcherReplacementTests {
  @Test(arguments: [DirectoryWatcher.Settings.Mode.auto, .poll])
  func aReplacedDirectoryIsNoticed(mode: DirectoryWatcher.Settings.Mode) throws {
    try withWatcher { harness in
      try harness.start(mode == .poll ? polling : quick)
      try harness.put("a.safetensors", "one END")
      #expect(harness.waitTaken("a.safetensors", ["one END"]))
      try FileSystem.createDirectories("\(harness.path)/other")
      try FileSystem.writeAtomically("\(harness.path)/other/b.safetensors", Array("two END".utf8))
      try FileSystem.exchange(harness.drop, "\(harness.path)/other")
      #expect(harness.waitTaken("b.safetensors", ["two END"]))
      #expect(harness.waitEvent("vanished a.safetensors"))
      // What happens in the old one is nobody's business any more; the new one is watched.
      try FileSystem.writeAtomically("\(harness.path)/other/old.safetensors", Array("old END".utf8))
      try harness.put("c.safetensors", "three END")
      #expect(harness.waitTaken("c.safetensors", ["three END"]))
      #expect(harness.attempts("old.safetensors") == 0)
    }
  }

  @Test(arguments: [DirectoryWatcher.Settings.Mode.auto, .poll])
  func aRemovedDirectoryIsMissingUntilItIsMadeAgain(mode: DirectoryWatcher.Settings.Mode) throws {
    try withWatcher { harness in
      try harness.start(mode == .poll ? polling : quick)
      try harness.put("a.safetensors", "one END")
      #expect(harness.waitTaken("a.safetensors", ["one END"]))
      try FileSystem.rename(harness.drop, to: "\(harness.path)/away")
      #expect(harness.waitEvent("condition missing"))
      // An unmounted directory says nothing about its files.
      #expect(!harness.events.contains("vanished a.safetensors"))
      try FileSystem.createDirectories("\(harness.path)/new")
      try FileSystem.writeAtomically("\(harness.path)/new/b.safetensors", Array("two END".utf8))
      try FileSystem.rename("\(harness.path)/new", to: harness.drop)
      #expect(harness.waitTaken("b.safetensors", ["two END"]))
      #expect(harness.waitEvent("vanished a.safetensors"))
      try FileSystem.removeTree(harness.drop)
      try FileSystem.createDirectories(harness.drop)
      try harness.put("c.safetensors", "three END")
      #expect(harness.waitTaken("c.safetensors", ["three END"]))
    }
  }

  @Test func aDirectoryThatBecomesALinkIsNotFollowed() throws {
    try withWatcher { harness in
      try harness.start(quick)
      try harness.put("a.safetensors", "one END")
      #expect(harness.waitTaken("a.safetensors", ["one END"]))
      try FileSystem.rename(harness.drop, to: "\(harness.path)/away")
      #expect(unsafe symlink("\(harness.path)/away", harness.drop) == 0)
      #expect(harness.waitEvent("condition unreadable"))
      try FileSystem.remove(harness.drop)
      try FileSystem.rename("\(harness.path)/away", to: harness.drop)
      try harness.put("b.safetensors", "two END")
      #expect(harness.waitTaken("b.safetensors", ["two END"]))
    }
  }

  @Test func aDirectoryThatIsNotThereAtTheStartIsWaitedFor() throws {
    try withWatcher { harness in
      try FileSystem.removeTree(harness.drop)
      try harness.start(quick)
      #expect(harness.waitEvent("condition missing"))
      try FileSystem.createDirectories(harness.drop)
      try harness.put("a.safetensors", "one END")
      #expect(harness.waitTaken("a.safetensors", ["one END"]))
    }
  }
}

struct DirectoryWatcherTaskTests {
  @Test(arguments: [DirectoryWatcher.Settings.Mode.auto, .poll])
  func aDirectoryCountsAsOneItemAndAChangeInsideAnnouncesIt(mode: DirectoryWatcher.Settings.Mode) throws {
    try withWatcher { harness in
      try harness.start(mode == .poll ? polling : quick, rules: .jsonTasks)
      try FileSystem.createDirectories("\(harness.drop)/arc")
      try harness.write("arc/fewshot.jsonl", "{}")
      #expect(harness.wait { harness.taken("arc").last == "fewshot.jsonl" })
      try harness.write("arc/task.json5", "{}")
      #expect(harness.wait { harness.taken("arc").last == "fewshot.jsonl,task.json5" })
      let count = harness.attempts("arc")
      try harness.write("arc/task.json5", "{a: 1}")
      #expect(harness.wait { harness.attempts("arc") > count })
      try FileSystem.remove("\(harness.drop)/arc/task.json5")
      #expect(harness.wait { harness.taken("arc").last == "fewshot.jsonl" })
      try FileSystem.removeTree("\(harness.drop)/arc")
      #expect(harness.waitEvent("vanished arc"))
      try harness.put("gsm.jsonl", "{} END")
      #expect(harness.waitTaken("gsm.jsonl", ["{} END"]))
    }
  }

  @Test func aDirectoryMadeAndFilledInOneGoIsWholeAtTheNextSync() throws {
    try withWatcher { harness in
      try harness.start(patient, rules: .jsonTasks)
      for round in 0..<50 {
        try FileSystem.createDirectories("\(harness.drop)/t\(round)")
        try harness.write("t\(round)/fewshot.jsonl", "{}")
        try harness.write("t\(round)/eval.jsonl", "{}")
        #expect(try harness.sync() == .done)
        #expect(harness.taken("t\(round)").last == "eval.jsonl,fewshot.jsonl")
      }
    }
  }

  @Test func aDirectoryRenamedIntoPlaceIsTakenAtOnce() throws {
    try withWatcher { harness in
      try harness.start(patient, rules: .jsonTasks)
      try FileSystem.createDirectories("\(harness.path)/build")
      try FileSystem.writeAtomically("\(harness.path)/build/fewshot.jsonl", [1])
      try FileSystem.rename("\(harness.path)/build", to: "\(harness.drop)/arc")
      #expect(harness.waitTaken("arc", ["fewshot.jsonl"]))
      // A change in a directory that came whole is seen too.
      try harness.write("arc/.hidden", "x")
      try FileSystem.writeAtomically("\(harness.path)/new", [1])
      try FileSystem.rename("\(harness.path)/new", to: "\(harness.drop)/arc/eval.jsonl")
      #expect(harness.wait { harness.taken("arc").last == "eval.jsonl,fewshot.jsonl" })
    }
  }
}
