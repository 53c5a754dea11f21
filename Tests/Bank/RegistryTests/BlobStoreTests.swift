import Digests
import Glibc
import SystemSupport
import Testing

@testable import Registry

@Suite struct BlobStoreTests {
  private func withStore(_ body: (BlobStore) throws -> Void) throws {
    try withTemporaryDirectory { directory in
      let store = BlobStore(root: directory)
      try store.prepare()
      try body(store)
    }
  }

  private func stage(_ text: String, in store: BlobStore) throws -> StagedContent {
    let path = store.stagingPath("test")
    try FileSystem.writeAtomically(path, Array(text.utf8))
    let (bytes, content) = try store.read(staged: path, maximumBytes: 100)
    #expect(bytes == Array(text.utf8))
    return content
  }

  @Test func aBlobLiesUnderTheDigestOfItsBytesAndCannotBeWritten() throws {
    try withStore { store in
      let staged = try stage("hello", in: store)
      let blob = try store.publish(staged)
      #expect(blob.hex == SHA256.digest(Array("hello".utf8)).hex)
      #expect(blob.bytes == 5)
      #expect(store.path(blob).hasSuffix("/blobs/2c/f24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"))
      #expect(try FileSystem.readAll(store.path(blob), maximumBytes: 10) == Array("hello".utf8))
      #expect(try FileSystem.status(store.path(blob))?.mode == 0o444)
      #expect(try FileSystem.status(staged.path) == nil)
      #expect(store.isPresent(blob))
      try store.check(blob)
    }
  }

  @Test func theSameContentIsStoredOnce() throws {
    try withStore { store in
      let first = try store.publish(try stage("hello", in: store))
      let inode = try FileSystem.status(store.path(first))?.identity.inode
      #expect(try store.publish(try stage("hello", in: store)) == first)
      #expect(try FileSystem.status(store.path(first))?.identity.inode == inode)
      #expect(try FileSystem.entries(store.staging).isEmpty)
    }
  }

  @Test func aBlobThatIsNotWhatItsNameSaysIsSetAsideAndReplaced() throws {
    try withStore { store in
      let blob = try store.publish(try stage("hello", in: store))
      for bad in ["jello", "hell", "hello ", ""] {
        try FileSystem.remove(store.path(blob))
        try FileSystem.writeAtomically(store.path(blob), Array(bad.utf8))
        let error = #expect(throws: RegistryError.self) { try store.check(blob) }
        #expect(error?.description.contains("its content is not what was stored, but hashes to") == true)
        var problems: [String] = []
        #expect(try store.publish(try stage("hello", in: store)) { problems.append($0) } == blob)
        #expect(problems.count == 1 && problems.first?.contains("is not what was stored") == true)
        #expect(try FileSystem.readAll(store.path(blob), maximumBytes: 10) == Array("hello".utf8))
        let aside = try FileSystem.entries(store.quarantine).compactMap(\.text)
        let name = try #require(aside.first)
        #expect(aside.count == 1 && name.hasPrefix("blobs-2c-f24dba"))
        #expect(try FileSystem.readAll(store.quarantine + "/" + name, maximumBytes: 10) == Array(bad.utf8))
        try FileSystem.remove(store.quarantine + "/" + name)
      }
    }
  }

  @Test func aMissingBlobIsPublishedAnew() throws {
    try withStore { store in
      let blob = try store.publish(try stage("hello", in: store))
      try FileSystem.remove(store.path(blob))
      #expect(try store.problem(of: blob) == "it is missing")
      #expect(try store.publish(try stage("hello", in: store)) == blob)
      try store.check(blob)
      #expect(try FileSystem.entries(store.quarantine).isEmpty)
    }
  }

  /// What is published is what was read: not what somebody put in its place, or wrote into it, in the meantime.
  @Test func aStagedFileThatHasChangedSinceItWasReadIsNotPublished() throws {
    try withStore { store in
      let replaced = try stage("hello", in: store)
      try FileSystem.writeAtomically(replaced.path, Array("jello".utf8))
      let written = try stage("hello", in: store)
      try FileDescriptor.open(written.path, O_WRONLY).write(all: Array("j".utf8))
      for content in [replaced, written] {
        let error = #expect(throws: RegistryError.self) { try store.publish(content) }
        let text = error?.description ?? ""
        #expect(text.contains("it changed since it was read"), "\(text)")
        #expect(try FileSystem.status(content.path) != nil, "it can be read again")
      }
      let blob = BlobReference(hex: SHA256.digest(Array("hello".utf8)).hex, bytes: 5)
      #expect(!store.isPresent(blob))
    }
  }

  @Test func aStagedFileThatIsTooLongIsNotRead() throws {
    try withStore { store in
      let content = try stage("hello", in: store)
      let error = #expect(throws: RegistryError.self) { try store.read(staged: content.path, maximumBytes: 4) }
      let text = error?.description ?? ""
      #expect(text.contains("5 bytes; at most 4 are read"), "\(text)")
    }
  }

  @Test func whatACrashLeftInStagingIsGoneAfterTheNextStart() throws {
    try withStore { store in
      _ = try stage("half a file", in: store)
      try FileSystem.createDirectories(store.staging + "/task/inner")
      try store.prepare()
      #expect(try FileSystem.entries(store.staging).isEmpty)
    }
  }

  @Test func aTaskDirectoryLeftOverFromACrashIsReplaced() throws {
    try withStore { store in
      let place = store.tasks + "/arc/1"
      for text in ["old", "new"] {
        let staged = store.stagingPath("task")
        try FileSystem.createDirectories(staged)
        try FileSystem.writeAtomically(staged + "/fewshot.jsonl", Array(text.utf8))
        try store.publishTask(staged: staged, as: place)
      }
      #expect(try FileSystem.readAll(place + "/fewshot.jsonl", maximumBytes: 10) == Array("new".utf8))
    }
  }

  @Test func aMissingStagedFileIsAnErrorThatNamesIt() throws {
    try withStore { store in
      let error = #expect(throws: RegistryError.self) {
        try store.read(staged: store.staging + "/nothing", maximumBytes: 1)
      }
      #expect(error?.description.contains("/staging/nothing") == true)
    }
  }
}
