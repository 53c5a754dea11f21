package import Digests
package import Multipliers
import Records
import StrictJSON

/// What an engine says of itself and of its model (`GET /t2/facts`), checked.
package struct RemoteFacts: Sendable, Equatable {
  /// Of the engine protocol, as this end speaks it.
  package static let protocolVersion = 1

  package struct Engine: Codable, Sendable, Equatable {
    /// "torch", "vllm".
    package var name: String
    /// Of the engine and of what it computes with, for people and for comparing.
    package var version: String
    /// What it computes in: "float32", "bfloat16".
    package var type: String
    package var device: String
    /// Ranks that share one model, each of which reads back what multipliers it has.
    package var parallelism: Int
  }

  package struct Model: Codable, Sendable, Equatable {
    package var id: String
    package var architecture: String
    package var parameters: Int64
    package var layers: Int
    package var hidden: Int
    package var vocabulary: Int
    /// Tokens of a prompt and what follows it.
    package var context: Int
    /// The type of the checkpoint's weights, such as "BF16".
    package var stored: String
    /// As it is written; ``RemoteFacts/digest`` is what it means.
    package var digest: String
    package var endIDs: [Int32]
  }

  package struct Abilities: Codable, Sendable, Equatable {
    package var gradients: Bool
    package var logits: Bool
    package var generate: Bool
    package var images: Bool
    /// Different ones in one request.
    package var mixtures: Int
  }

  package struct File: Sendable, Equatable {
    package let name: String
    package let byteCount: Int
    package let digest: Digest
  }

  package let engine: Engine
  package let model: Model
  /// t2d's digest of the model.
  package let digest: Digest
  package let layout: MultiplierLayout
  package let abilities: Abilities
  package let files: [File]
  /// Texts of the engine, for people.
  package let warnings: [String]

  /// The bytes of the largest file that is taken.
  package static let largestFile = 64 << 20
  /// Of what the facts themselves may have: 100,000 targets of a mixture of experts are some 10 MiB.
  static let limits = JSONLimits(maximumMembers: 2_000_000, maximumBytes: 64 << 20)
  private static let mostTargets = 1_000_000

  package func file(_ name: String) -> File? { files.first { $0.name.utf8.elementsEqual(name.utf8) } }

  // MARK: - Reading

  private struct Message: Codable {
    struct Target: Codable {
      var name: String
      var rows: Int
      var columns: Int
    }
    struct File: Codable, Sendable, Equatable {
      var bytes: Int
      var digest: String
    }
    var engine: Engine
    var model: Model
    var targets: [Target]
    var abilities: Abilities
    var files: ByName<File>
    var warnings: [String]
  }

  /// Reads the body of an answer. What a newer engine says besides is passed over.
  package init(reading bytes: [UInt8]) throws(EngineFailure.Cause) {
    let json: JSONValue
    do { json = try parseJSON(bytes, limits: Self.limits) } catch {
      throw .notTheProtocol("its facts are not JSON: \(error)")
    }
    // Before all else: of another version nothing else may be as it is read here.
    guard let version = json.objectValue?["protocol"]?.intValue else {
      throw .notTheProtocol("its facts name no version of the protocol")
    }
    guard version == Self.protocolVersion else { throw .otherProtocol(found: version) }
    let message: Message
    do throws(RecordError) {
      message = try RecordReader(unknownMembers: .ignored).read(json)
      try self.init(message)
    } catch {
      throw .notTheProtocol(error.description(of: "of its facts"))
    }
  }

  private init(_ message: Message) throws(RecordError) {
    func check(_ holds: Bool, _ place: String, _ problem: @autoclosure () -> String) throws(RecordError) {
      if !holds { throw RecordError(.invalid, at: place, problem()) }
    }
    func digest(_ text: String, _ place: String) throws(RecordError) -> Digest {
      guard let digest = Digest(description: text) else {
        throw RecordError(.invalid, at: place, "must be sha256: and 64 hexadecimal digits, and is \(quoted(text))")
      }
      return digest
    }
    let (engine, model) = (message.engine, message.model)
    for (name, text) in [("name", engine.name), ("version", engine.version), ("type", engine.type)] {
      try check(
        !text.isEmpty && text.utf8.count <= 400, "engine.\(name)",
        "must have 1 to 400 bytes, and has \(text.utf8.count)")
    }
    let counts = [
      ("engine.parallelism", engine.parallelism, 1...4096), ("model.layers", model.layers, 1...100_000),
      ("model.hidden", model.hidden, 1...1 << 30), ("model.vocabulary", model.vocabulary, 1...Int(Int32.max)),
      ("model.context", model.context, 1...Int(Int32.max)),
      ("abilities.mixtures", message.abilities.mixtures, 1...1 << 30),
    ]
    for (place, count, range) in counts {
      try check(
        range.contains(count), place, "must be from \(range.lowerBound) to \(range.upperBound), and is \(count)")
    }
    try check(model.parameters >= 0, "model.parameters", "is \(model.parameters)")
    for id in model.endIDs {
      try check(
        id >= 0 && Int(id) < model.vocabulary, "model.end_ids",
        "has \(id), and the vocabulary \(model.vocabulary) tokens")
    }
    self.engine = engine
    self.model = model
    self.digest = try digest(model.digest, "model.digest")
    layout = try Self.layout(message.targets, layers: model.layers)
    abilities = message.abilities
    var files: [File] = []
    for entry in message.files.entries {
      let place = "files.\(String(quoted(entry.name).dropFirst().dropLast()))"
      try check(Self.isFileName(entry.name), place, "is not the name of a file")
      try check(
        (0...Self.largestFile).contains(entry.value.bytes), "\(place).bytes",
        "is \(entry.value.bytes), and at most \(Self.largestFile) are taken")
      files.append(
        File(
          name: entry.name, byteCount: entry.value.bytes, digest: try digest(entry.value.digest, "\(place).digest")))
    }
    self.files = files
    warnings = message.warnings
  }

  /// What needs no escape in a path, and leads to no other directory where somebody writes it.
  private static func isFileName(_ name: String) -> Bool {
    (1...200).contains(name.utf8.count) && name.utf8.first != UInt8(ascii: ".")
      && name.unicodeScalars.allSatisfy {
        $0.isASCII
          && ($0.properties.isAlphabetic || $0.properties.numericType != nil || "._-".unicodeScalars.contains($0))
      }
  }

  private static func layout(
    _ targets: [Message.Target], layers: Int
  ) throws(RecordError) -> MultiplierLayout {
    guard (1...mostTargets).contains(targets.count) else {
      throw RecordError(.invalid, at: "targets", "must have 1 to \(mostTargets), and has \(targets.count)")
    }
    var names: Set<UTF8Key> = []
    var total = 0
    var matrices: [TargetMatrix] = []
    for (index, target) in targets.enumerated() {
      func refusal(_ problem: String) -> RecordError { RecordError(.invalid, at: "targets[\(index)]", problem) }
      let name = quoted(target.name)
      guard (1...500).contains(target.name.utf8.count), !target.name.utf8.contains(0) else {
        throw refusal("has no usable name: \(name)")
      }
      guard names.insert(UTF8Key(target.name)).inserted else { throw refusal("has the name of another: \(name)") }
      let sides = 1...1 << 24
      guard sides.contains(target.rows), sides.contains(target.columns) else {
        throw refusal("\(name) is \(target.rows) x \(target.columns), which is no matrix that is computed with")
      }
      let layer = layer(of: target.name)
      if let layer, layer >= layers { throw refusal("\(name) is of a layer that a model of \(layers) has not") }
      let matrix = TargetMatrix(name: target.name, rows: target.rows, columns: target.columns, layer: layer)
      total += matrix.rank
      matrices.append(matrix)
    }
    // A vector lies in memory, and goes through the socket.
    let most = 1 << 28
    guard total <= most else {
      throw RecordError(.invalid, at: "targets", "have \(total) multipliers, and at most \(most) are taken")
    }
    return MultiplierLayout(matrices)
  }

  /// The first number among the parts of a name: 3 of `model.layers.3.mlp.experts.7.up_proj.weight`.
  private static func layer(of name: String) -> Int? {
    for part in name.split(separator: ".") where part.utf8.allSatisfy({ (0x30...0x39).contains($0) }) {
      return Int(part)
    }
    return nil
  }

  // MARK: - Comparing

  /// Why the two cannot be asked as one: what differs, and how; nil where nothing does.
  package func difference(from other: RemoteFacts) -> String? {
    let members: [(String, String, String)] = [
      ("model", digest.description, other.digest.description), ("engine", engine.name, other.engine.name),
      ("version", engine.version, other.engine.version), ("type", engine.type, other.engine.type),
      ("vocabulary", "\(model.vocabulary)", "\(other.model.vocabulary)"),
    ]
    for (name, here, there) in members where !here.utf8.elementsEqual(there.utf8) {
      return "its \(name) is \(quoted(here, limit: 200)), and that of the other is \(quoted(there, limit: 200))"
    }
    return layout == other.layout ? nil : "it has the matrices of the model in another order than the other"
  }
}
