import Glibc
import SystemSupport

/// What a reader of strangers' files may cost, however small the file.
private enum Bound {
  /// Of a debug build, on a machine that does other things too: processor time, and far more than any input takes.
  static let time: Duration = .seconds(1)
  /// Beyond what the process has when it begins.
  static let bytes = 512 << 20
}

/// Gives a reader inputs that were made of good ones by changes, each of which must be read or refused with an error,
/// within time and memory. A message goes into logs, tables and answers, so it has at most `messageBytes` and never shows all of
/// what was found. Returns what is wrong with the reader, nil where nothing is: also where it reads all of them, or
/// none.
///
/// To be called in a process of its own (an exit test): a trap, a stack that overflows, or memory beyond the bound ends it.
package func withstand(
  _ samples: [[UInt8]], count: Int = 6000, seed: UInt64 = 1, messageBytes: Int = 1000, _ read: ([UInt8]) throws -> Void
) -> String? {
  do {
    // A sample that is refused would leave all that lies behind untried.
    for sample in samples { try read(sample) }
    try boundMemory()
  } catch {
    return "a sample is refused: \(error)"
  }
  var mutator = Mutator(samples, seed: seed)
  var (accepted, refused) = (0, 0)
  for number in 0..<count {
    let input = mutator.next()
    let start = processorTime()
    do {
      try read(input)
      accepted += 1
    } catch {
      refused += 1
      let message = "\(error)"
      if message.utf8.count > messageBytes {
        return "input \(number) gets a message of \(message.utf8.count) bytes: \(message.prefix(400))"
      }
    }
    let time = processorTime() - start
    if time > Bound.time {
      return "input \(number) of \(input.count) bytes took \(time): \(shown(input))"
    }
  }
  return accepted == 0 || refused == 0 ? "\(accepted) inputs were read and \(refused) refused; both are needed" : nil
}

private func shown(_ input: [UInt8]) -> String {
  String(String(decoding: input.prefix(400), as: UTF8.self).unicodeScalars.map { $0.isASCII ? Character($0) : "?" })
}

private func boundMemory() throws {
  var limits = ProcessLimits()
  guard let now = ProcessMemory.of() else { return }
  limits.dataBytes = UInt64(now.data + Bound.bytes)
  try limits.applyToSelf()
}
