import Glibc
import SystemSupport
import TestSupport
import Testing

/// That what a daemon leaves would be found: else the end of every other test here claims nothing.
@Suite struct LeftoversTests {
  @Test func aLineOfTheLogIsAFaultUnlessItIsExpectedOrHarmless() {
    let log = """
      2026-01-31T12:00:00.123Z notice t2d serves pid=7
      2026-01-31T12:00:00.124Z warning the worker ended reason=x
      2026-01-31T12:00:00.125Z error cannot store
      Fatal error: Index out of range

      """
    let warning = "the log has: 2026-01-31T12:00:00.124Z warning the worker ended reason=x"
    let error = "the log has: 2026-01-31T12:00:00.125Z error cannot store"
    let crash = "the log has: Fatal error: Index out of range"
    #expect(Leftovers.faults(ofLog: log, expected: []) == [warning, error, crash])
    #expect(Leftovers.faults(ofLog: log, expected: ["the worker ended"]) == [error, crash])
    #expect(
      Leftovers.faults(ofLog: String(log.prefix { $0 != "\n" }), expected: ["t2d serves"])
        == ["the log has no warning and no error with 't2d serves'"])
  }

  @Test func whatIsOpenBelowADirectoryIsFound() throws {
    try withTemporaryDirectory { directory in
      #expect(try Leftovers.descriptors(below: directory) == [])
      try FileSystem.createDirectories("\(directory)/watched")
      let file = try FileDescriptor.open("\(directory)/file", O_WRONLY | O_CREAT)
      let inotify = FileDescriptor(takingOwnershipOf: inotify_init1(0))
      try #require(unsafe inotify_add_watch(inotify.number, "\(directory)/watched", UInt32(IN_CREATE)) >= 0)
      let found = try Leftovers.descriptors(below: directory)
      #expect(found.sorted() == ["\(directory)/file", "inotify \(inotify.number)"])
      // Gone from the directory, and as open as before.
      try FileSystem.remove("\(directory)/file")
      #expect(try Leftovers.descriptors(below: directory).contains("\(directory)/file (deleted)"))
      try file.close()
      try inotify.close()
      #expect(try Leftovers.descriptors(below: directory) == [])
    }
  }

  @Test func aDaemonThatRunsIsFound() throws {
    try withDaemon { (daemon: Harness) throws in
      let found = try Leftovers.descriptors(below: daemon.prefix)
      for part in ["/var/lib/t2d/lock", "/catalogue.sqlite", "socket ", "inotify "] {
        #expect(found.contains { $0.contains(part) }, "\(part) in \(found)")
      }
      #expect(try Leftovers.files(ofPrefix: daemon.prefix).contains("\(daemon.prefix)/var/run/t2d/t2d.pid"))
    }
  }

  @Test func filesThatAreNotTheStoresAreFound() throws {
    try withTemporaryDirectory { prefix in
      let kept = ["etc/t2d/t2d.json5", "var/lib/t2d/lock", "var/lib/t2d/blobs/ab/cd", "var/spool/t2d/tasks/a.jsonl"]
      let left = [
        "tmp/t2.abc", "var/lib/t2d/catalogue.sqlite-wal", "var/lib/t2d/cookies/1", "var/lib/t2d/staging/mixture.x",
        "var/run/t2d/t2d.pid", "var/spool/t2d/experts/.a.tmp",
      ]
      for file in kept + left {
        try FileSystem.createDirectories(FileSystem.split("\(prefix)/\(file)").directory)
        try FileSystem.writeAtomically("\(prefix)/\(file)", [])
      }
      #expect(try Leftovers.files(ofPrefix: prefix).sorted() == left.map { "\(prefix)/\($0)" })
    }
  }

  @Test func aProcessIsFoundByItsCommandLineAndByItsEnvironment() throws {
    try withTemporaryDirectory { directory in
      for (arguments, environment) in [(["cat", "-", directory], []), (["cat"], ["MARK=\(directory)"])] {
        let (ours, theirs) = try FileDescriptor.socketPair()
        // Waits for the end of the socket.
        let child = try ChildProcess(
          "/bin/sh", arguments: ["sh", "-c", "read -r line <&3"] + arguments, environment: environment, socket: theirs)
        try theirs.close()
        // The kernel lets whoever began it go on before the new program has its command line.
        let deadline = Deadline.after(.seconds(10))
        while try Leftovers.processes(naming: directory).isEmpty, !deadline.hasPassed { sched_yield() }
        #expect(try Leftovers.processes(naming: directory).count == 1)
        try ours.close()
        _ = child.waitForExit()
        #expect(try Leftovers.processes(naming: directory) == [])
      }
    }
  }
}
