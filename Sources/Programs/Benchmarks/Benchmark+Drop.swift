import RPCClient
import RPCProtocol
import StrictJSON
import SystemSupport

extension Benchmark {
  static let drop = Benchmark(
    name: "drop", summary: "from the rename into the watched directory to the version in expert.list", run: measureDrop)
}

/// Each drop is a new version of one expert: read, copied, checked, stored and published by the real daemon.
private func measureDrop(_ context: borrowing BenchmarkContext) throws -> [Measurement] {
  let file = context.options.expertFiles[0]
  var bytes = try FileSystem.readAll(file, maximumBytes: 1 << 26)
  let drops = max(21, context.options.repetitions)
  return try withPrivateDaemon(context) { daemon in
    let newest = { try daemon.client.call(ExpertList.self).experts.first?.version ?? 0 }
    var milliseconds: [Double] = []
    for number in 1...drops {
      // The lowest byte of the last multiplier: another content, hardly another value.
      bytes[bytes.count - 4] = UInt8(truncatingIfNeeded: number)
      let waiting = "\(daemon.prefix)/dropped"
      try FileSystem.writeAtomically(waiting, bytes)
      let start = MonotonicInstant.now
      try FileSystem.rename(waiting, to: "\(daemon.prefix)/var/spool/t2d/experts/dropped.safetensors")
      while try newest() < number {
        guard (MonotonicInstant.now - start).inSeconds < 30 else {
          let list = try daemon.client.call(ExpertList.self).json
          throw BenchmarkError("'\(file)' was not visible 30 s after its rename; expert.list: \(list.jsonText)")
        }
      }
      milliseconds.append((MonotonicInstant.now - start).inSeconds * 1e3)
    }
    let status = try daemon.client.call(SystemStatus.self)
    milliseconds.sort()
    return [
      Measurement("expert file", Double(bytes.count), "B"),
      Measurement("drops", Double(drops), ""),
      Measurement("rename to visible, median", milliseconds[drops / 2], "ms"),
      .extreme("rename to visible, worst", milliseconds[drops - 1], "ms"),
      Measurement("memory of the daemon", Double(status.memoryBytes) / 1e6, "MB"),
    ]
  }
}
