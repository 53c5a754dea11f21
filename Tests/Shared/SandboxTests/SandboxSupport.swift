import Glibc
import Sandbox
import SystemSupport

/// What this machine has of the sandbox's needs: tests that want more than that are skipped and say what is missing.
enum SandboxSupport {
  static let hasPython = (try? FileSystem.status(SandboxSettings().interpreter, followingLinks: true)) != nil

  /// In force here; a failure of the sandbox itself fails `theSandboxWorksHere`, and is no reason to skip.
  static let protections = hasPython ? Set((try? Sandbox(settings).probe()) ?? SandboxProtection.allCases) : []

  /// Requires nothing: each protection has tests without the others.
  static var settings: SandboxSettings {
    var settings = SandboxSettings()
    settings.required = []
    return settings
  }

  static func has(_ wanted: SandboxProtection...) -> Bool { protections.isSuperset(of: wanted) }

  /// A program that ends by itself has all the time that a busy machine may need.
  static func sandbox(
    seconds: Int = 60, memory: Int64 = 512 << 20, without omitted: [SandboxProtection] = []
  ) -> Sandbox {
    var settings = settings
    settings.timeout = .seconds(seconds)
    settings.memoryBytes = memory
    return Sandbox(settings, omitting: omitted)
  }

  /// All but the limits and the user: what is left in the poorest of containers.
  static let all: [SandboxProtection] = [
    .seccomp, .landlock, .networkNamespace, .processNamespace, .boundedDirectory,
  ]

  /// How many processes run a program of this path.
  static func processes(running program: String) throws -> Int {
    try FileSystem.entries("/proc").count { entry in
      guard let name = entry.text, Int32(name) != nil,
        let command = try? FileSystem.readVirtual("/proc/\(name)/cmdline")
      else { return false }
      return String(decoding: command, as: UTF8.self).contains(program)
    }
  }
}
