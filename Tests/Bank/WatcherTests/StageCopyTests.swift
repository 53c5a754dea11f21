import Glibc
import SystemSupport
import Testing
import Watcher

struct StageCopyTests {
  private struct Fixture {
    var path: String
    var directory: FileDescriptor
    var staging: String { "\(path)/staging" }
    func file(_ name: String) -> String { "\(path)/drop/\(name)" }

    func stage(_ name: String, limits: StagingLimits = .init()) throws(StagingError) -> StagedFile {
      try stageCopy(name, from: directory, into: staging, limits: limits)
    }
  }

  private func withFixture(_ body: (Fixture) throws -> Void) throws {
    try withTemporaryDirectory { path in
      try FileSystem.createDirectories("\(path)/drop")
      try FileSystem.createDirectories("\(path)/staging")
      let directory = try FileDescriptor.open("\(path)/drop", O_RDONLY | O_DIRECTORY)
      try body(Fixture(path: path, directory: directory))
      // Whatever happened, nothing stays behind in staging once the copies are gone.
      #expect(try FileSystem.entries("\(path)/staging") == [])
    }
  }

  @Test func theCopyHasTheBytesThatWereHashed() throws {
    try withFixture { fixture in
      let bytes = (0..<700_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
      try FileSystem.writeAtomically(fixture.file("a"), bytes)
      var seen: [UInt8] = []
      let staged = try stageCopy("a", from: fixture.directory, into: fixture.staging) { chunk in
        for index in chunk.indices { seen.append(chunk[index]) }
      }
      #expect(seen == bytes)
      #expect(staged.size == bytes.count)
      #expect(try FileSystem.readAll(staged.path, maximumBytes: 1 << 20) == bytes)
      #expect(try FileSystem.status(staged.path)?.mode == 0o444)
      // The lease is gone: a writer opens without waiting.
      let writer = try FileDescriptor.open(fixture.file("a"), O_WRONLY | O_NONBLOCK)
      try writer.close()
    }
  }

  @Test func aCopyThatSomeoneTookOverStays() throws {
    try withFixture { fixture in
      try FileSystem.writeAtomically(fixture.file("a"), [1])
      let path = try fixture.stage("a").relinquish()
      #expect(try FileSystem.remove(path))
    }
  }

  @Test(arguments: NameRules.downloadEndings)
  func aFileWithTheSignOfADownloadBesideItIsIncomplete(ending: String) throws {
    try withFixture { fixture in
      try FileSystem.writeAtomically(fixture.file("a.safetensors"), [1, 2, 3])
      try FileSystem.writeAtomically(fixture.file("a.safetensors" + ending), [])
      let error = #expect(throws: StagingError.self) { try fixture.stage("a.safetensors") }
      guard case .incomplete(_, let reason)? = error else {
        Issue.record("\(String(describing: error))")
        return
      }
      #expect(reason.hasPrefix("'a.safetensors\(ending)' is beside it"))
      try FileSystem.remove(fixture.file("a.safetensors" + ending))
      #expect(try fixture.stage("a.safetensors").size == 3)
    }
  }

  @Test(arguments: [".lock", ".metadata", ".json", ".sha256"])
  func whatStaysBesideAFileDoesNotHoldIt(ending: String) throws {
    try withFixture { fixture in
      try FileSystem.writeAtomically(fixture.file("a.safetensors"), [1, 2, 3])
      try FileSystem.writeAtomically(fixture.file("a.safetensors" + ending), [])
      #expect(try fixture.stage("a.safetensors").size == 3)
    }
  }

  @Test func aFileWithAWriterIsIncomplete() throws {
    try withFixture { fixture in
      try FileSystem.writeAtomically(fixture.file("a"), [1, 2, 3])
      let writer = try FileDescriptor.open(fixture.file("a"), O_WRONLY)
      let error = #expect(throws: StagingError.self) { try fixture.stage("a") }
      #expect(error == .incomplete(name: "a", reason: "another process has it open for writing"))
      #expect(error?.outcome == .incomplete)
      try writer.close()
      #expect(try fixture.stage("a").wasLeased)
    }
  }

  @Test func aWriterThroughAHardLinkElsewhereIsSeen() throws {
    try withFixture { fixture in
      try FileSystem.writeAtomically("\(fixture.path)/outside", [1, 2, 3])
      #expect(unsafe link("\(fixture.path)/outside", fixture.file("a")) == 0)
      let writer = try FileDescriptor.open("\(fixture.path)/outside", O_WRONLY)
      #expect(throws: StagingError.incomplete(name: "a", reason: "another process has it open for writing")) {
        try fixture.stage("a")
      }
      try writer.close()
      #expect(try fixture.stage("a").source.links == 2)
    }
  }

  @Test func aWritableMappingIsSeenAfterItsDescriptorIsClosed() throws {
    try withFixture { fixture in
      try FileSystem.writeAtomically(fixture.file("a"), [UInt8](repeating: 1, count: 4096))
      let file = try FileDescriptor.open(fixture.file("a"), O_RDWR)
      let mapping = unsafe mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file.number, 0)
      try file.close()
      #expect(throws: StagingError.incomplete(name: "a", reason: "another process has it open for writing")) {
        try fixture.stage("a")
      }
      unsafe munmap(mapping, 4096)
      #expect(try fixture.stage("a").size == 4096)
    }
  }

  @Test func aFileThatChangesWhileItIsReadIsIncomplete() throws {
    try withFixture { fixture in
      try FileSystem.writeAtomically(fixture.file("a"), [UInt8](repeating: 1, count: 1 << 20))
      var didChange = false
      // The times change without a writer being open; a writer would have to wait for the lease.
      let error = #expect(throws: StagingError.self) {
        try stageCopy("a", from: fixture.directory, into: fixture.staging) { _ in
          if !didChange { unsafe chmod(fixture.file("a"), 0o640) }
          didChange = true
        }
      }
      #expect(error == .incomplete(name: "a", reason: "it changed while it was read"))
    }
  }

  @Test func linksFIFOsSocketsAndDirectoriesAreRefusedWithoutHanging() throws {
    try withFixture { fixture in
      try FileSystem.writeAtomically("\(fixture.path)/secret", [1])
      #expect(unsafe symlink("\(fixture.path)/secret", fixture.file("link")) == 0)
      #expect(unsafe symlink("nowhere", fixture.file("dangling")) == 0)
      #expect(unsafe mkfifo(fixture.file("fifo"), 0o600) == 0)
      try FileSystem.createDirectories(fixture.file("directory"))
      for name in ["link", "dangling", "fifo", "directory"] {
        let error = #expect(throws: StagingError.self) { try fixture.stage(name) }
        guard case .rejected = error else {
          Issue.record("\(name): \(String(describing: error))")
          continue
        }
      }
      let reason =
        "symbolic_link: 'dangling' is a symbolic link to 'nowhere'; links are not followed: put a copy in its place: "
        + "cp -L dangling .dangling && mv -T .dangling dangling"
      #expect(throws: StagingError.rejected(name: "dangling", reason: reason)) { try fixture.stage("dangling") }
      #expect(throws: StagingError.vanished(name: "none")) { try fixture.stage("none") }
    }
  }

  @Test func sizesAreBounded() throws {
    try withFixture { fixture in
      try FileSystem.writeAtomically(fixture.file("empty"), [])
      #expect(throws: StagingError.incomplete(name: "empty", reason: "it is empty")) { try fixture.stage("empty") }
      var limits = StagingLimits()
      limits.maximumBytes = 3
      try FileSystem.writeAtomically(fixture.file("a"), [1, 2, 3])
      #expect(try fixture.stage("a", limits: limits).size == 3)
      let sparse = try FileDescriptor.open(fixture.file("huge"), O_WRONLY | O_CREAT)
      #expect(ftruncate(sparse.number, 5 << 30) == 0)
      try sparse.close()
      let error = #expect(throws: StagingError.self) { try fixture.stage("huge") }
      #expect(
        error
          == .rejected(name: "huge", reason: "too_large: it has 5368709120 bytes, at most 67108864 are allowed"))
    }
  }

  @Test func aStagingDirectoryThatIsGoneIsOurTroubleAndNotTheFiles() throws {
    try withFixture { fixture in
      try FileSystem.writeAtomically(fixture.file("a"), [1])
      let error = #expect(throws: StagingError.self) {
        try stageCopy("a", from: fixture.directory, into: "\(fixture.path)/nowhere")
      }
      #expect(error?.outcome == .retryLater)
    }
  }

  /// Each version carries its own number in every byte, so a mixture of two would show.
  @Test func aFileThatIsReplacedAllTheTimeIsAlwaysOneOfItsVersions() throws {
    try withFixture { fixture in
      try FileSystem.writeAtomically(fixture.file("a"), [UInt8](repeating: 0, count: 50_000))
      let stop = try EventDescriptor()
      let path = fixture.file("a")
      let writer = try OwnedThread(name: "rewriter") {
        var version: UInt8 = 1
        while !stop.drain() {
          // In fixture: truncated first, so that a reader may meet an empty or a half file.
          guard let file = try? FileDescriptor.open(path, O_WRONLY | O_TRUNC) else { continue }
          try? file.write(all: [UInt8](repeating: version, count: 25_000))
          try? file.write(all: [UInt8](repeating: version, count: 25_000))
          version &+= 1
        }
      }
      defer {
        stop.signal()
        writer.join()
      }
      var (taken, refused) = (0, 0)
      var versions: Set<UInt8> = []
      // Both must have happened often, or the writer was not there at all.
      let deadline = Deadline.after(.seconds(60))
      while taken < 20 || refused < 20 || versions.count < 3, !deadline.hasPassed {
        do {
          let staged = try fixture.stage("a")
          taken += 1
          let bytes = try FileSystem.readAll(staged.path, maximumBytes: 1 << 20)
          #expect(bytes.count == 50_000)
          let found = Set(bytes)
          #expect(found.count == 1, "versions \(found.sorted()) in one copy")
          versions.formUnion(found)
        } catch let error as StagingError {
          #expect(error.outcome == .incomplete, "\(error)")
          refused += 1
        }
      }
      #expect(taken >= 20 && refused >= 20 && versions.count >= 3, "\(taken) taken, \(refused) refused: \(versions)")
    }
  }
}
