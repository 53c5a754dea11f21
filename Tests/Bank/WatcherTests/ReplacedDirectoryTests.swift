import Glibc
import SystemSupport
import Testing
import Watcher

/// How the path of a watched directory comes to lead to another one. Mounts are in `MountedOverTests`.
enum Replacement: CaseIterable {
  case movedAndMadeAnew, removedAndMadeAnew, exchanged, parentMovedAndMadeAnew, grandparentMovedAndMadeAnew,
    linkSwitched

  /// Makes it so. The watched directory is `root`/link/parent/drop, where `link` leads to `root`/one; afterwards it is an
  /// empty one. Gives the place of the old one.
  func replace(in root: String) throws -> String {
    let (grandparent, parent, drop) = ("\(root)/one", "\(root)/one/parent", "\(root)/one/parent/drop")
    switch self {
    case .movedAndMadeAnew:
      try FileSystem.rename(drop, to: "\(root)/away")
      try FileSystem.createDirectories(drop)
      return "\(root)/away"
    case .removedAndMadeAnew:
      try FileSystem.removeTree(drop)
      try FileSystem.createDirectories(drop)
      return drop
    case .exchanged:
      try FileSystem.createDirectories("\(root)/other")
      try FileSystem.exchange(drop, "\(root)/other")
      return "\(root)/other"
    case .parentMovedAndMadeAnew:
      try FileSystem.rename(parent, to: "\(root)/away")
      try FileSystem.createDirectories(drop)
      return "\(root)/away/drop"
    case .grandparentMovedAndMadeAnew:
      try FileSystem.rename(grandparent, to: "\(root)/away")
      try FileSystem.createDirectories(drop)
      return "\(root)/away/parent/drop"
    case .linkSwitched:
      try FileSystem.createDirectories("\(root)/two/parent/drop")
      #expect(unsafe symlink("two", "\(root)/new") == 0)
      try FileSystem.rename("\(root)/new", to: "\(root)/link")
      return drop
    }
  }
}

struct ReplacedDirectoryTests {
  private func withLinkedWatcher(_ settings: DirectoryWatcher.Settings, _ body: (WatcherHarness) throws -> Void) throws
  {
    try withWatcher(place: "link/parent/drop") { harness in
      try FileSystem.rename("\(harness.path)/link", to: "\(harness.path)/one")
      #expect(unsafe symlink("one", "\(harness.path)/link") == 0)
      try harness.start(settings)
      try harness.put("a.safetensors", "one END")
      #expect(try harness.sync() == .done)
      #expect(harness.taken("a.safetensors") == ["one END"])
      try body(harness)
    }
  }

  /// Waiting times and scans so far away that only the sync can have seen it.
  private var patient: DirectoryWatcher.Settings {
    var settings = DirectoryWatcher.Settings()
    settings.safetyRescan = .seconds(3600)
    settings.overlayRescan = .seconds(3600)
    settings.pollPeriod = .seconds(3600)
    return settings
  }

  @Test(arguments: Replacement.allCases, [DirectoryWatcher.Settings.Mode.auto, .poll])
  func aReplacedDirectoryIsSeenByTheNextSync(way: Replacement, mode: DirectoryWatcher.Settings.Mode) throws {
    var settings = patient
    settings.mode = mode
    try withLinkedWatcher(settings) { harness in
      let old = try way.replace(in: harness.path)
      try harness.put("b.safetensors", "two END")
      #expect(try harness.sync() == .done)
      #expect(harness.taken("b.safetensors") == ["two END"])
      #expect(harness.events.contains("replaced experts"))
      #expect(harness.waitEvent("vanished a.safetensors"))
      #expect(harness.watcher.status.conditions["experts"].map { $0 == .watching } == (mode == .auto))
      // The new one is watched, and the old one is not.
      if old != harness.drop, way != .removedAndMadeAnew {
        try FileSystem.writeAtomically("\(old)/old.safetensors", Array("old END".utf8))
      }
      try harness.put("c.safetensors", "three END")
      if mode == .poll { #expect(try harness.sync() == .done) }
      #expect(harness.waitTaken("c.safetensors", ["three END"]))
      #expect(harness.attempts("old.safetensors") == 0)
    }
  }

  @Test(arguments: Replacement.allCases)
  func aReplacedDirectoryIsSeenByAScan(way: Replacement) throws {
    try withLinkedWatcher(patient) { harness in
      _ = try way.replace(in: harness.path)
      try harness.put("b.safetensors", "two END")
      harness.watcher.rescan()
      #expect(harness.waitTaken("b.safetensors", ["two END"]))
      #expect(harness.waitEvent("replaced experts"))
    }
  }

  @Test func aMovedParentIsSeenWithoutASync() throws {
    var settings = patient
    settings.pollPeriod = .milliseconds(30)
    try withLinkedWatcher(settings) { harness in
      try FileSystem.rename("\(harness.path)/one", to: "\(harness.path)/away")
      #expect(harness.waitEvent("condition missing"))
      try FileSystem.createDirectories("\(harness.path)/one/parent/drop")
      try harness.put("b.safetensors", "two END")
      #expect(harness.waitTaken("b.safetensors", ["two END"]))
      #expect(harness.events.last { $0.hasPrefix("condition") } == "condition watching")
    }
  }

  @Test func aDirectoryThatIsTheSameIsNotSaidToBeReplaced() throws {
    try withLinkedWatcher(patient) { harness in
      for _ in 0..<5 {
        harness.watcher.rescan()
        #expect(try harness.sync() == .done)
      }
      try FileSystem.createDirectories("\(harness.path)/one/parent/beside")
      try FileSystem.createDirectories("\(harness.path)/one/beside")
      #expect(try harness.sync() == .done)
      #expect(!harness.events.contains { $0.hasPrefix("replaced") })
      #expect(harness.attempts("a.safetensors") == 1)
    }
  }
}
