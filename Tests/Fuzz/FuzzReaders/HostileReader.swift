/// A reader of bytes that strangers wrote, with good inputs of it: what the fuzzer (`t2fuzz`, built by `etc/fuzz`) feeds, and
/// what the kept inputs of `Tests/Fuzz/Corpus/NAME` are played to in every run of the tests.
///
/// To add one: a line in `all`, its declaration beside those of its kind, and `T2D_RECORD=1 swift test --filter Corpus`.
package struct HostileReader: Sendable {
  /// Of the directory of its inputs, and what `etc/fuzz` takes.
  package let name: String
  /// No input is longer: what a reader does with more of the same a test of its own says.
  package let maximumBytes: Int
  /// What our own writers make, all of it accepted. By name.
  package let samples: @Sendable () throws -> [(name: String, bytes: [UInt8])]
  /// Reads, or throws what the user would see. Throws ``BrokenPromise`` where what was read is not what was written.
  package let read: @Sendable ([UInt8]) throws -> Void

  init(
    _ name: String, maximumBytes: Int = 4096,
    samples: @escaping @Sendable () throws -> [(name: String, bytes: [UInt8])],
    read: @escaping @Sendable ([UInt8]) throws -> Void
  ) {
    (self.name, self.maximumBytes, self.samples, self.read) = (name, maximumBytes, samples, read)
  }

  /// With samples that are texts.
  init(_ name: String, texts: [String], read: @escaping @Sendable ([UInt8]) throws -> Void) {
    let samples = texts.enumerated().map { (name: "sample\($0.offset)", bytes: Array($0.element.utf8)) }
    self.init(name, samples: { samples }, read: read)
  }

  package static let all = [
    json, json5, safetensors, expert, expertIndex, gguf, ggufPart, config, torch, pickle, tokenizer, rows, settings,
    request,
    redo, workerRequest, workerReply, chatTemplate, servedName, engineAnswer, engineFacts,
  ]
}

/// What was accepted and does not mean the same a second time. No input may cause it.
package struct BrokenPromise: Error, CustomStringConvertible {
  package let description: String

  init(_ description: String) { self.description = description }
}

/// Throws where a promise does not hold.
func promise(_ holds: Bool, _ what: @autoclosure () -> String) throws(BrokenPromise) {
  if !holds { throw BrokenPromise(what()) }
}

/// Reads what must be readable, since we wrote it.
func ours<Value>(_ what: String, _ read: () throws -> Value) throws(BrokenPromise) -> Value {
  do { return try read() } catch { throw BrokenPromise("\(what): \(error)") }
}
