import LinearAlgebra
import StrictJSON
import SystemSupport

/// What the figures were measured on and with: without it a record cannot be read.
struct BenchmarkMachine: Sendable {
  /// As /proc/cpuinfo calls it, with its family, which tells generations of one name apart; "" where it says nothing.
  var processor: String
  var memoryBytes: Int
  /// "Linux 6.1.0-40-amd64 x86_64".
  var system: String
  /// Of t2d, and of OpenBLAS with the options that it was built with, in its own words.
  var versions: [(name: String, version: String)]

  static func current() -> BenchmarkMachine {
    let cpuinfo = (try? FileSystem.readVirtual("/proc/cpuinfo")).map { String(decoding: $0, as: UTF8.self) } ?? ""
    return BenchmarkMachine(
      processor: processor(cpuinfo: cpuinfo),
      memoryBytes: machineMemory,
      system: systemName(), versions: [("t2d", programVersion), ("openblas", BLAS.library)])
  }

  var json: JSONValue {
    var object = JSONObject()
    for (name, version) in versions { object[name] = .string(version) }
    return [
      "processor": .string(processor), "memory_bytes": JSONValue(memoryBytes), "system": .string(system),
      "versions": .object(object),
    ]
  }

  /// From the text of /proc/cpuinfo; its first processor stands for all.
  static func processor(cpuinfo: String) -> String {
    func value(_ key: String) -> String? {
      for line in cpuinfo.split(separator: "\n") {
        let parts = line.split(separator: ":", maxSplits: 1)
        guard parts.count == 2, trimmed(parts[0]) == key else { continue }
        return trimmed(parts[1])
      }
      return nil
    }
    guard let name = value("model name") else { return "" }
    return value("cpu family").map { "\(name), family \($0)" } ?? name
  }

  private static func trimmed(_ text: Substring) -> String {
    let isBlank = { (character: Character) in character == " " || character == "\t" }
    let start = text.drop(while: isBlank)
    return String(String(start.reversed().drop(while: isBlank).reversed()))
  }

  private static func systemName() -> String {
    let release = (try? FileSystem.readVirtual("/proc/sys/kernel/osrelease")) ?? []
    return "Linux \(String(decoding: release.prefix { $0 != 0x0a }, as: UTF8.self)) \(architecture)"
  }

  private static var architecture: String {
    #if arch(x86_64)
      "x86_64"
    #elseif arch(arm64)
      "aarch64"
    #else
      "another architecture"
    #endif
  }
}
