import Glibc
import RPCClient
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// Every dropped file ends in exactly one visible state, with the reason where that is not `accepted`: all names, all
/// contents, all kinds of things, in both directories.
@Suite struct EveryDroppedFileTests {
  /// What becomes of a name whatever is in the file.
  private enum NameFate {
    /// No dropped file, but the temporary name of one.
    case silent
    case ignored, refused
    /// It depends on the content.
    case taken
  }

  private static let texts: [(String, experts: NameFate, tasks: NameFate)] = [
    ("plain.safetensors", .taken, .ignored), ("UPPER-0.v1_x.safetensors", .taken, .ignored),
    ("plain.jsonl", .ignored, .taken), ("0.jsonl", .ignored, .taken), ("plain", .ignored, .ignored),
    ("a.parquet", .ignored, .refused), ("b.jsonl.gz", .refused, .refused), ("D.JSONL", .ignored, .taken),
    ("c.ndjson", .ignored, .taken),
    ("f.SAFETENSORS", .taken, .ignored), ("g.safetensors.gz", .refused, .refused), ("h.arrow", .ignored, .refused),
    ("README.md", .ignored, .ignored), ("dataset_infos.json", .ignored, .ignored), ("r.txt", .ignored, .refused),
    ("4913", .ignored, .ignored), ("#x#", .ignored, .ignored),
    ("k.pt", .refused, .ignored), ("l.pth", .refused, .ignored), ("m.pkl", .refused, .refused),
    ("n.ckpt", .refused, .ignored), ("o.bin", .refused, .ignored), ("p.npz", .refused, .refused),
    ("q.gguf", .refused, .ignored),
    ("a b.safetensors", .refused, .ignored), ("-rf.safetensors", .refused, .ignored),
    ("é.safetensors", .refused, .ignored), ("e\u{301}.safetensors", .refused, .ignored),
    ("x\n.jsonl", .ignored, .refused), ("\u{1b}[2J.jsonl", .ignored, .refused), ("\\xff.jsonl", .ignored, .refused),
    (String(repeating: "n", count: 130) + ".safetensors", .refused, .ignored),
    (String(repeating: "n", count: 240) + ".jsonl", .ignored, .refused),
    (".hidden.safetensors", .silent, .silent), (".safetensors", .silent, .silent),
    (".x.jsonl.Xy12", .silent, .silent),
    ("a.safetensors~", .silent, .silent), ("a.jsonl.part", .silent, .silent), ("a.tmp", .silent, .silent),
    ("a.safetensors.aria2", .silent, .silent), ("a.crdownload", .silent, .silent),
  ]

  private static let names: [(name: [UInt8], experts: NameFate, tasks: NameFate)] = {
    var names: [(name: [UInt8], experts: NameFate, tasks: NameFate)] = []
    for (text, experts, tasks) in texts { names.append((Array(text.utf8), experts, tasks)) }
    names.append(([0xFF] + Array(".jsonl".utf8), .ignored, .refused))
    names.append(([0xFE, 0x0A] + Array(".safetensors".utf8), .refused, .ignored))
    return names
  }()

  /// The state of a file with this content where its name is taken.
  private static var contents: [(name: String, bytes: [UInt8], expert: String, task: String)] {
    let zeroVectors = expertBytes("plain", value: 1).dropLast(32) + [UInt8](repeating: 0, count: 32)
    let noise = (0..<999).map { UInt8(truncatingIfNeeded: $0 &* 167 &+ 13) }
    let pointer = Array("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n".utf8)
    let broken: [UInt8] = Array(#"{"question":"a"#.utf8) + [0xFF, 0xFE]
    let pickle: [UInt8] = [0x80, 0x02] + [UInt8](repeating: 0x7D, count: 64)
    let gzip: [UInt8] = [0x1F, 0x8B, 8] + [UInt8](repeating: 7, count: 64)
    return [
      ("expert", expertBytes("plain", value: 1.25), "accepted", "rejected"),
      ("task", taskBytes(question: "What do bees make?"), "rejected", "accepted"),
      ("empty", [], "incomplete", "incomplete"),
      ("zeros", [UInt8](repeating: 0, count: 4096), "incomplete", "incomplete"),
      ("zero vectors", Array(zeroVectors), "rejected", "rejected"),
      ("cut", Array(expertBytes("plain", value: 1).dropLast(5)), "incomplete", "rejected"),
      ("trailing", expertBytes("plain", value: 1) + [0], "rejected", "rejected"),
      ("not finite", expertBytes("plain", value: .nan), "rejected", "rejected"),
      ("short", expertBytes("plain", value: 1, count: 3), "rejected", "rejected"),
      ("web page", Array("<!DOCTYPE html><html><body>Entry not found</body></html>".utf8), "rejected", "rejected"),
      ("pointer", pointer, "rejected", "rejected"),
      ("pickle", pickle, "rejected", "rejected"),
      ("gzip", gzip, "rejected", "rejected"),
      ("noise", noise, "rejected", "rejected"),
      ("one byte", [0x7B], "incomplete", "incomplete"),
      ("no UTF-8", broken, "rejected", "rejected"),
    ]
  }

  @Test func everyNameWithEveryContentHasOneState() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      var cases = 0
      for content in Self.contents {
        for directory in ["experts", "tasks"] {
          for entry in Self.names { try Self.write(content.bytes, entry.name, daemon.spool(directory)) }
        }
        try daemon.sync()
        let rows = try daemon.rows()
        for directory in ["experts", "tasks"] {
          for entry in Self.names {
            cases += 1
            let fate = directory == "experts" ? entry.experts : entry.tasks
            // By bytes: two of the names are the same letters.
            let path = "\(daemon.spool(directory))/\(escaped(bytes: entry.name))"
            let states = rows.filter { $0.path.utf8.elementsEqual(path.utf8) }
            let expected: [String] =
              switch fate {
              case .silent: []
              case .ignored: ["ignored"]
              case .refused: ["rejected"]
              case .taken: [directory == "experts" ? content.expert : content.task]
              }
            // Two names with the same content: the second is a duplicate of the first.
            let found = states.map { $0.state == "duplicate" ? "accepted" : $0.state }
            #expect(found == expected, "\(content.name) as \(directory)/\(escaped(bytes: entry.name))")
          }
        }
        // No row is of anything else.
        let visible = Self.names.count { $0.experts != .silent } + Self.names.count { $0.tasks != .silent }
        #expect(rows.count == visible, "\(content.name)")
        for row in rows where row.state != "accepted" {
          #expect(!row.kind.isEmpty && !row.message.isEmpty, "\(row)")
        }
        for directory in ["experts", "tasks"] {
          for entry in Self.names { Self.remove(entry.name, daemon.spool(directory)) }
        }
        try daemon.sync()
        #expect(try daemon.rows().isEmpty, "\(content.name)")
      }
      print("dropped files: \(cases) cases of name and content")
    }
  }

  /// Under a name that would be taken: what stands there is no regular file.
  @Test func everyKindOfThingHasOneState() throws {
    typealias Make = (_ path: String) throws -> Void
    let kinds: [(name: String, experts: String?, tasks: String?, make: Make)] = [
      ("link", "rejected", "rejected", { #expect(unsafe symlink("/etc/hostname", $0) == 0) }),
      ("dangling", "rejected", "rejected", { #expect(unsafe symlink("nothing", $0) == 0) }),
      ("itself", "rejected", "rejected", { #expect(unsafe symlink($0, $0) == 0) }),
      ("FIFO", "rejected", "rejected", { #expect(unsafe mkfifo($0, 0o600) == 0) }),
      ("socket", "rejected", "rejected", { #expect(unsafe mknod($0, S_IFSOCK | 0o600, 0) == 0) }),
      ("empty directory", "ignored", "rejected", { try FileSystem.createDirectories($0) }),
      (
        "directory of a task", "ignored", "accepted",
        {
          try FileSystem.createDirectories($0)
          try FileSystem.writeAtomically($0 + "/fewshot.jsonl", taskBytes(question: $0))
        }
      ),
      (
        "directory with a strange file", "ignored", "rejected",
        {
          try FileSystem.createDirectories($0)
          try FileSystem.writeAtomically($0 + "/fewshot.jsonl", taskBytes(question: $0))
          try FileSystem.writeAtomically($0 + "/few.jsonl", [])
        }
      ),
      (
        "directory with a link in it", "ignored", "rejected",
        {
          try FileSystem.createDirectories($0)
          #expect(unsafe symlink("/etc/hostname", $0 + "/fewshot.jsonl") == 0)
        }
      ),
      (
        "directory of an empty file", "ignored", "incomplete",
        {
          try FileSystem.createDirectories($0)
          try FileSystem.writeAtomically($0 + "/fewshot.jsonl", [])
        }
      ),
    ]
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      for (number, kind) in kinds.enumerated() {
        try kind.make("\(daemon.spool("experts"))/k\(number).safetensors")
        // The ending of a file, where no directory is meant.
        let ending = kind.name.contains("directory") ? "" : ".jsonl"
        try kind.make("\(daemon.spool("tasks"))/k\(number)\(ending)")
      }
      try daemon.sync()
      let rows = try daemon.rows()
      for (number, kind) in kinds.enumerated() {
        for (directory, expected) in [("experts", kind.experts), ("tasks", kind.tasks)] {
          let own = rows.filter { $0.path.hasPrefix("\(daemon.spool(directory))/k\(number)") }
          #expect(own.map(\.state) == [expected], "\(kind.name) in \(directory): \(own)")
          #expect(own.allSatisfy { $0.state == "accepted" || !$0.message.isEmpty })
        }
      }
      #expect(rows.count == 2 * kinds.count)
      print("dropped files: \(2 * kinds.count) cases of other things")
      for directory in ["experts", "tasks"] {
        for entry in try FileSystem.entries(daemon.spool(directory)) {
          if let name = entry.text { try FileSystem.removeTree("\(daemon.spool(directory))/\(name)") }
        }
      }
    }
  }

  // MARK: - Names that need not be UTF-8

  private static func write(_ bytes: [UInt8], _ name: [UInt8], _ directory: String) throws {
    let place = try FileDescriptor.open(directory, O_RDONLY | O_DIRECTORY)
    let terminated = name.map { CChar(bitPattern: $0) } + [0]
    let number = try systemCall("create", escaped(bytes: name)) {
      unsafe openat(place.number, terminated, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
    }
    let file = FileDescriptor(takingOwnershipOf: number)
    try file.write(all: bytes)
    try file.close()
  }

  private static func remove(_ name: [UInt8], _ directory: String) {
    let path = (Array(directory.utf8) + [0x2F] + name).map { CChar(bitPattern: $0) } + [0]
    #expect(unsafe unlink(path) == 0, "\(escaped(bytes: name))")
  }
}

private struct Row {
  var path: String
  var state: String
  var kind: String
  var message: String
}

extension Harness {
  fileprivate func spool(_ directory: String) -> String { "\(prefix)/var/spool/t2d/\(directory)" }

  fileprivate func rows() throws -> [Row] {
    (try call("system.status")["ingest"]?.arrayValue ?? []).map { row in
      Row(
        path: row["path"]?.stringValue ?? "", state: row["state"]?.stringValue ?? "",
        kind: row["kind"]?.stringValue ?? "", message: row["message"]?.stringValue ?? "")
    }
  }
}
