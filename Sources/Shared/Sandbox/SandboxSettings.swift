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
