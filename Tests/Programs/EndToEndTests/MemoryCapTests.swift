import Glibc
import ModelFormats
import ModelSamples
import RPCClient
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// A daemon whose memory is limited takes in the largest files there may be, however many there are.
@Suite(.serialized) struct MemoryCapTests {
  @Test func theLargestFilesFitIntoAFewTimesTheirSize() throws {
    let largest = 16 << 20
    let configuration = "{ max_expert_bytes: \(largest), promotion: 'manual', checks: { on_arrival: false } }"
    try withBank(configuration: configuration) { daemon, client in
      try daemon.drop(rows(1), "tasks", "letters.jsonl")
      try daemon.drop(expertBytes("calm", 1), "experts", "calm.safetensors")
      try client.call("system.sync")
      let healthy = try HealthyClient(
        daemon.socketPath, #"{"jsonrpc":"2.0","id":1,"method":"expert.show","params":{"expert":"calm"}}"# + "\n")
      defer { healthy.stop() }
      let before = try #require(ProcessMemory.of(daemon.process.processID))
      try limit(daemon, toFurther: 6 * largest)

      // Good by its form up to its last byte, so that nothing is saved by refusing it early.
      let file = large(largest)
      #expect(file.count > largest - (16 << 10) && file.count <= largest)
      for number in 0..<8 { try daemon.drop(file, "experts", "large\(number).safetensors") }
      for number in 0..<2 { try daemon.drop(file + [0], "experts", "larger\(number).safetensors") }
      try client.call("system.sync", ["timeout_ms": 300_000], timeout: .seconds(300))
      let files = try client.call("system.status")["ingest"]?.arrayValue ?? []
      let large = files.filter { $0["path"]?.stringValue?.contains("/large") == true }
      #expect(large.count == 10 && large.allSatisfy { $0["state"] == "rejected" }, "\(files.map(\.jsonText))")
      #expect(large.allSatisfy { $0["kind"] != "io_error" })

      // What comes then is taken, and the memory is given back, but for what malloc keeps for the next.
      try daemon.drop(expertBytes("calm", 2), "experts", "calm.safetensors")
      try client.call("system.sync")
      #expect(try client.call("expert.show", ["expert": "calm@2"])["version"] == 2)
      try eventually("the memory of the files is given back", within: .seconds(20)) {
        let now = try #require(ProcessMemory.of(daemon.process.processID))
        return now.anonymous < before.anonymous + 3 * largest
      }
      // And goes on being answered.
      let answered = healthy.answered
      try eventually("others are answered", within: .seconds(20)) { healthy.answered > answered + 100 }
      #expect(healthy.failure == nil && answered > 0)
      let peak = try #require(ProcessMemory.of(daemon.process.processID)).peak
      print(
        "memory cap: 10 files of \(largest >> 20) MiB, at most \((peak - before.resident) >> 20) MiB more were resident"
      )
    }
  }

  /// RLIMIT_AS of the daemon alone: its worker has been started.
  private func limit(_ daemon: RunningDaemon, toFurther bytes: Int) throws {
    let process = daemon.process.processID
    let status = String(decoding: try FileSystem.readVirtual("/proc/\(process)/status"), as: UTF8.self)
    let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmSize:") })
    let kibibytes = try #require(line.split(whereSeparator: { " \t".contains($0) }).compactMap { Int($0) }.first)
    let prlimit = try ChildProcess(
      "/usr/bin/env", arguments: ["env", "prlimit", "--pid", "\(process)", "--as=\(kibibytes * 1024 + bytes)"],
      environment: ChildProcess.environment(), socket: nil)
    #expect(prlimit.waitForExit(until: .after(.seconds(20))) == .code(0))
  }

  /// An expert of about so many bytes, with one matrix far too long.
  private func large(_ bytes: Int) -> [UInt8] {
    safetensorsBytes(
      tensors: SyntheticModel.targets.enumerated().map { index, target in
        let count = index == 0 ? bytes / 4 - 1000 : target.rank
        return SafetensorsTensor(name: target.name, shape: [count], values: [Float](repeating: 1, count: count))
      },
      metadata: [
        ("t2.format", "t2-expert"), ("t2.version", "1"), ("t2.name", "large"), ("t2.param_space", "multiplier"),
        ("t2.rescale", "none"), ("t2.max_mult", "1"),
      ])
  }
}
