import SystemSupport
import Testing

@Suite struct MemoryRoomTests {
  /// A tree of control groups as the kernel shows them.
  private func withGroups(
    _ files: [String: String], _ body: (_ root: String) throws -> Void
  ) throws {
    try withTemporaryDirectory { root in
      for (path, text) in files {
        let (directory, _) = FileSystem.split("\(root)/\(path)")
        try FileSystem.createDirectories(directory)
        try FileSystem.writeAtomically("\(root)/\(path)", Array(text.utf8))
      }
      try body(root)
    }
  }

  @Test func theLeastLimitAboveAProcessIsItsOwn() throws {
    let files = [
      "a.slice/t2d.service/memory.max": "max\n", "a.slice/memory.max": "4294967296\n",
      "a.slice/memory.stat": "anon 1000\nfile 4000000000\nkernel 24\nshmem 100\n", "b/memory.max": "5\n",
    ]
    try withGroups(files) { root in
      let group = try #require(ControlGroup(processText: "1:name=x:/\n0::/a.slice/t2d.service\n", root: root))
      #expect(group.limit == 4_294_967_296)
      #expect(group.room == 4_294_967_296 - 1124, "page cache goes when it must")
    }
  }

  @Test func whereNothingIsLimitedThereIsNoLimit() throws {
    try withGroups(["a/memory.max": "max\n"]) { root in
      let group = try #require(ControlGroup(processText: "0::/a\n", root: root))
      #expect(group.limit == nil && group.room == nil)
      // Version 1 only, and a group outside of what is seen.
      #expect(ControlGroup(processText: "4:memory:/a\n", root: root) == nil)
      #expect(ControlGroup(processText: "0::/../../b\n", root: root) == nil)
      #expect(ControlGroup(processText: "0::/\n", root: root)?.limit == nil)
    }
  }

  @Test func roomIsWhatTheLimitLeaves() throws {
    #expect(MemoryRoom.unlimited.bytes == .max && MemoryRoom.unlimited.has(.max))
    let passed = MemoryRoom(advice: "") { -5 }
    #expect(passed.bytes == 0 && passed.has(0) && !passed.has(1))
    let data = try #require(ProcessMemory.of()?.data)
    let room = MemoryRoom.ofProcess(dataLimit: data + MemoryRoom.margin + 1 << 40, advice: "").bytes
    #expect(room > 0 && room < data + 1 << 40 + MemoryRoom.margin)
    #expect(MemoryRoom.ofProcess(dataLimit: 1, advice: "").bytes == 0)
  }

  @Test func megabytesAreRoundedUp() {
    #expect(megabytesText(0) == "0 MB" && megabytesText(1) == "1 MB" && megabytesText(2_000_001) == "3 MB")
  }
}
