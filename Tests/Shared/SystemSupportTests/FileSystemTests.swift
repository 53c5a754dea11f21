import Glibc
import SystemSupport
import Testing

struct FileSystemTests {
  @Test func aFileIsReplacedAtomicallyWithTheModeThatWasAskedFor() throws {
    try withTemporaryDirectory { path in
      let file = "\(path)/f"
      try FileSystem.writeAtomically(file, Array("one".utf8), mode: 0o644)
      let before = try #require(try FileSystem.status(file))
      try FileSystem.writeAtomically(file, Array("two".utf8), mode: 0o640)
      let after = try #require(try FileSystem.status(file))
      #expect(try FileSystem.readAll(file, maximumBytes: 10) == Array("two".utf8))
      #expect(before.mode == 0o644)
      #expect(after.mode == 0o640)
      #expect(before.identity.inode != after.identity.inode)
      #expect(try FileSystem.entries(path).map(\.text) == ["f"])
    }
  }

  @Test func aFailedReplacementLeavesNothingBehind() throws {
    try withTemporaryDirectory { path in
      try FileSystem.createDirectories("\(path)/f/inside")
      #expect(throws: SystemCallError.self) { try FileSystem.writeAtomically("\(path)/f", [1]) }
      #expect(try FileSystem.entries(path).map(\.text) == ["f"])
    }
  }

  @Test func aFileAboveItsBoundIsNotRead() throws {
    try withTemporaryDirectory { path in
      try FileSystem.writeAtomically("\(path)/f", [UInt8](repeating: 1, count: 11))
      let error = #expect(throws: SystemCallError.self) {
        try FileSystem.readAll("\(path)/f", maximumBytes: 10)
      }
      #expect(error?.number == EFBIG)
      #expect(error?.hint == "at most 10 bytes are read")
      #expect(try FileSystem.readAll("\(path)/f", maximumBytes: 11).count == 11)
    }
  }

  @Test func aFIFOIsNotReadAndDoesNotHang() throws {
    try withTemporaryDirectory { path in
      #expect(unsafe mkfifo("\(path)/f", 0o600) == 0)
      let error = #expect(throws: SystemCallError.self) { try FileSystem.readAll("\(path)/f", maximumBytes: 10) }
      #expect(error?.hint == "it is a FIFO")
      let directory = #expect(throws: SystemCallError.self) { try FileSystem.readAll(path, maximumBytes: 10) }
      #expect(directory?.number == EISDIR)
    }
  }

  @Test func directoriesAreMadeWithTheirParentsAndTwiceIsNoError() throws {
    try withTemporaryDirectory { path in
      try FileSystem.createDirectories("\(path)/a/b/c", mode: 0o770)
      try FileSystem.createDirectories("\(path)/a/b/c", mode: 0o700)
      #expect(try FileSystem.status("\(path)/a/b/c")?.mode == 0o770)
      #expect(try FileSystem.status("\(path)/a")?.mode == 0o770)
      try FileSystem.writeAtomically("\(path)/f", [])
      let error = #expect(throws: SystemCallError.self) { try FileSystem.createDirectories("\(path)/f") }
      #expect(error?.number == ENOTDIR)
      #expect(throws: SystemCallError.self) { try FileSystem.createDirectories("\(path)/f/g") }
    }
  }

  @Test func aTreeIsRemovedWithOddNamesAndLinksAreNotFollowed() throws {
    try withTemporaryDirectory { path in
      try FileSystem.createDirectories("\(path)/tree/x")
      try FileSystem.createDirectories("\(path)/kept")
      try FileSystem.writeAtomically("\(path)/kept/file", [1])
      #expect(unsafe symlink("\(path)/kept", "\(path)/tree/link") == 0)
      let tree = try FileDescriptor.open("\(path)/tree", O_RDONLY | O_DIRECTORY)
      let broken: [CChar] = [-1, -2, 0]
      #expect(unsafe mkdirat(tree.number, broken, 0o700) == 0)
      try FileSystem.removeTree("\(path)/tree")
      #expect(try FileSystem.status("\(path)/tree") == nil)
      #expect(try FileSystem.status("\(path)/kept/file") != nil)
      try FileSystem.removeTree("\(path)/tree")
    }
  }

  @Test func entriesAreBytesAndBounded() throws {
    try withTemporaryDirectory { path in
      let directory = try FileDescriptor.open(path, O_RDONLY | O_DIRECTORY)
      let broken: [CChar] = [0x61, -1, 0]
      #expect(unsafe mkdirat(directory.number, broken, 0o700) == 0)
      try FileSystem.writeAtomically("\(path)/b", [])
      let entries = try FileSystem.entries(in: directory, path: path).sorted { $0.name.count > $1.name.count }
      #expect(entries.map(\.name) == [[0x61, 0xFF], [0x62]])
      #expect(entries.map(\.isDirectory) == [true, false])
      #expect(entries.map(\.text) == [nil, "b"])
      #expect(try FileSystem.entries(in: directory, path: path, limit: 1).count == 1)
    }
  }

  @Test(arguments: [
    ("/a/b", "/a", "b"), ("b", ".", "b"), ("/b", "/", "b"), ("a/b/", "a", "b"), ("/", "/", ""),
  ])
  func pathsAreSplitAtTheLastSlash(path: String, directory: String, name: String) {
    #expect(FileSystem.split(path) == (directory, name))
  }

  @Test func aStatusKnowsTheKindAndDoesNotFollowLinks() throws {
    try withTemporaryDirectory { path throws in
      #expect(unsafe symlink("nowhere", "\(path)/link") == 0)
      #expect(try FileSystem.status("\(path)/link")?.kind == .symbolicLink)
      #expect(try FileSystem.status("\(path)/link", followingLinks: true) == nil)
      #expect(try FileSystem.status(path)?.kind == .directory)
      #expect(try FileSystem.status("/dev/null")?.kind == .device)
    }
  }

  @Test func aTemporaryDirectoryIsPrivateAndGoesAway() throws {
    struct Stop: Error {}
    var seen = ""
    #expect(throws: Stop.self) {
      try withTemporaryDirectory { path in
        seen = path
        #expect(try FileSystem.status(path)?.mode == 0o700)
        try FileSystem.createDirectories("\(path)/deep/er")
        throw Stop()
      }
    }
    #expect(!seen.isEmpty)
    #expect(try FileSystem.status(seen) == nil)
  }

  @Test func aLockIsHeldByOneAndGoesWithItsOwner() throws {
    try withTemporaryDirectory { path in
      var lock = try FileLock.acquire("\(path)/lock")
      #expect(lock != nil)
      #expect(try FileLock.acquire("\(path)/lock") == nil)
      lock = nil
      #expect(try FileLock.acquire("\(path)/lock") != nil)
    }
  }

  @Test func aLockIsWaitedForUntilTheDeadline() throws {
    try withTemporaryDirectory { path in
      let held = Mutex(try FileLock.acquire("\(path)/lock"))
      let start = MonotonicInstant.now
      #expect(try FileLock.acquire("\(path)/lock", until: .after(.milliseconds(50))) == nil)
      #expect(MonotonicInstant.now - start >= .milliseconds(50))
      let thread = try OwnedThread(name: "holder") {
        _ = poll(nil, 0, 100)  // What takes a moment: the end of a process, or its child's exec.
        held.withLock { $0 = nil }
      }
      #expect(try FileLock.acquire("\(path)/lock", until: .after(.seconds(10))) != nil)
      thread.join()
    }
  }
}
