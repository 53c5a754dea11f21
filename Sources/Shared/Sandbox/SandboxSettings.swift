package import StrictJSON

/// What runs programs, as whom, and how much they may use.
package struct SandboxSettings: Sendable, Equatable {
  package var interpreter = "/usr/bin/python3"
  /// Who the program is where the worker is root; it must not be root itself.
  package var user = "nobody"
  package var timeout: Duration = .seconds(5)
  /// Of address space.
  package var memoryBytes: Int64 = 512 << 20
  /// A program is not run where one of these is not in force.
  package var required: [SandboxProtection] = []
  /// Left out, so that a test can see what the others hold by themselves.
  package var omitted: [SandboxProtection] = []

  package init() {}

  /// As the daemon hands it to its worker. Nothing is omitted by a daemon.
  package var json: JSONValue {
    [
      "interpreter": .string(interpreter), "user": .string(user),
      "timeout_seconds": .number(timeout / .seconds(1)), "memory_limit": .integer(memoryBytes),
      "require": .array(required.map { .string($0.rawValue) }),
    ]
  }

  package init(json: JSONValue) throws(ObjectReaderError) {
    var reader = try ObjectReader(reading: json)
    interpreter = try reader.string("interpreter")
    user = try reader.string("user")
    timeout = .seconds(try reader.double("timeout_seconds"))
    memoryBytes = try reader.integer("memory_limit")
    required = try Self.protections(try reader.strings("require"), key: "require")
    try reader.finish()
  }

  /// Protections by their names.
  package static func protections(
    _ names: [String], key: String
  ) throws(ObjectReaderError) -> [SandboxProtection] {
    var protections: [SandboxProtection] = []
    for name in names {
      guard let protection = SandboxProtection(rawValue: name) else {
        throw ObjectReaderError(
          kind: .outOfRange, path: "", key: key,
          problem: "\"\(key)\" names \"\(name.excerpt)\", allowed are "
            + SandboxProtection.allCases.map(\.rawValue).joined(separator: ", "))
      }
      protections.append(protection)
    }
    return protections
  }
}

/// What keeps a program from doing harm. Each stands by itself: where the kernel or a container lacks one, the others hold.
///
/// The names are those of `t2-sandbox`, of the configuration's `code.require`, and of results.
package enum SandboxProtection: String, Sendable, CaseIterable {
  /// Not root: another user where the worker is root, the worker's own otherwise (man 2 setresuid).
  case user
  /// No program that it starts gains rights (man 2 prctl, PR_SET_NO_NEW_PRIVS).
  case noNewPrivileges = "no_new_privileges"
  /// Processor time, address space, sizes of files, descriptors, processes (man 2 setrlimit).
  case limits
  /// No sockets, no new processes, no calls that change the system (man 2 seccomp).
  case seccomp
  /// Reads what the interpreter needs and writes in its own directory (man 7 landlock).
  case landlock
  /// No network but a loopback that is down (man 7 network_namespaces).
  case networkNamespace = "network_namespace"
  /// Sees no other process, and all that it started ends with it (man 7 pid_namespaces).
  case processNamespace = "process_namespace"
  /// Its directory is a file system of its own, of 32 MB and 1024 files (man 5 tmpfs, man 7 mount_namespaces).
  case boundedDirectory = "bounded_directory"
}
