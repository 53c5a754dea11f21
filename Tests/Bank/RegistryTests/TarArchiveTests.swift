import Glibc
import SystemSupport
import Testing

@testable import Registry

@Suite struct TarArchiveTests {
  private static let entries = [
    TarEntry(path: "a", size: 0, mode: 0o444, modified: 0),
    TarEntry(path: "blobs/ab/" + String(repeating: "c", count: 62), size: 512, mode: 0o444, modified: 1_770_000_000),
    TarEntry(path: "tasks/" + String(repeating: "n", count: 94), size: 1, mode: 0o600, modified: 1),
    TarEntry(path: "tasks/" + String(repeating: "n", count: 95), size: 700, mode: 0o600, modified: 1),
    TarEntry(path: "tasks/é/" + String(repeating: "ü", count: 120) + "/x.jsonl", size: 3, mode: 0o444, modified: 1),
  ]

  private func content(_ entry: TarEntry) -> [UInt8] { (0..<entry.size).map { UInt8(truncatingIfNeeded: $0 &* 7) } }

  private func write(_ entries: [TarEntry], to path: String) throws {
    var bytes: [UInt8] = []
    for entry in entries {
      bytes += entry.header + content(entry) + [UInt8](repeating: 0, count: TarEntry.padding(entry.size))
    }
    try FileSystem.writeAtomically(path, bytes + TarEntry.end)
  }

  @Test func whatIsWrittenIsReadBack() throws {
    try withTemporaryDirectory { directory in
      let path = directory + "/a.tar"
      try write(Self.entries, to: path)
      var reader = TarReader(try FileDescriptor.open(path))
      for entry in Self.entries {
        #expect(try reader.next() == entry)
        var found: [UInt8] = []
        try reader.content(of: entry) { found += $0 }
        #expect(found == content(entry))
      }
      #expect(try reader.next() == nil)
    }
  }

  @Test func tarExtractsIt() throws {
    try withTemporaryDirectory { directory in
      try write(Self.entries, to: directory + "/a.tar")
      let tar = try ChildProcess(
        "/bin/sh", arguments: ["sh", "-c", "mkdir \(directory)/out && cd \(directory)/out && tar -xf ../a.tar"],
        environment: ChildProcess.environment(), socket: nil)
      #expect(tar.waitForExit(until: .after(.seconds(20))) == .code(0))
      for entry in Self.entries {
        let bytes = try FileSystem.readAll("\(directory)/out/\(entry.path)", maximumBytes: 4096)
        #expect(bytes == content(entry), "\(entry.path)")
        #expect(try FileSystem.status("\(directory)/out/\(entry.path)")?.mode == UInt32(entry.mode), "\(entry.path)")
      }
    }
  }

  /// Eleven octal digits are full at 8 GiB.
  @Test(arguments: [(1 << 33) - 1, 1 << 33, 1 << 40]) func aSizeOfAnyLengthIsRead(size: Int) throws {
    try withTemporaryDirectory { directory in
      let entry = TarEntry(path: "large", size: size, mode: 0o444, modified: 0)
      try FileSystem.writeAtomically(directory + "/a.tar", entry.header)
      var reader = TarReader(try FileDescriptor.open(directory + "/a.tar"))
      #expect(try reader.next() == entry)
    }
  }

  @Test func onlyPathsOfAStoreAreTaken() {
    let hex = String(repeating: "0a", count: 31)
    for path in ["catalogue.sqlite", "blobs/ab/\(hex)", "tasks/arc/0123/arc.jsonl", "tasks/arc/0123/arc/eval.jsonl"] {
      #expect(StoreRestore.isOfAStore(path), "\(path)")
    }
    for path in [
      "", "/etc/passwd", "lock", "redo/0.log", "blobs/../\(hex)", "blobs/ab/\(hex.dropLast())/", "blobs/zz/\(hex)",
      "tasks/../../x/y", "tasks/a/b/../c", "tasks/a/b", "tasks//b/c", "tasks/a/b/c/d/e", "tasks/a/./c", "/tasks/a/b/c",
      "catalogue.sqlite/", "./catalogue.sqlite",
    ] {
      #expect(!StoreRestore.isOfAStore(path), "\(path)")
    }
  }
}
