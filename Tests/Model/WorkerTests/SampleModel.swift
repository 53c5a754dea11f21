import Glibc
import ModelFormats
import ModelSamples
import StrictJSON
import SystemSupport

/// The synthetic model's directory, to be changed into what people have.
struct SampleModel {
  let directory: String
  let path: String
  /// Of `model.safetensors`, as it is made.
  let tensors: [SafetensorsTensor]

  static let single = "model.safetensors"
  static let index = "model.safetensors.index.json"
  static let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:ab12\nsize 269060552\n"
  static let page = "<!doctype html><html><head><title>Sign in</title></head></html>"

  init(in directory: String) throws {
    self.directory = directory
    path = try SyntheticModel(in: directory).path
    let file = try SafetensorsFile.open(path: path + "/" + Self.single)
    tensors = try file.tensors.map { tensor throws(SafetensorsError) in
      SafetensorsTensor(name: tensor.name, shape: tensor.shape, values: try file.floats(tensor.name))
    }
  }

  func write(_ name: String, _ text: String) throws {
    try FileSystem.writeAtomically(path + "/" + name, Array(text.utf8))
  }

  func write(_ name: String, _ value: JSONValue) throws {
    try FileSystem.writeAtomically(path + "/" + name, value.serialized())
  }

  func write(_ name: String, _ tensors: [SafetensorsTensor]) throws {
    try writeSafetensors(to: path + "/" + name, tensors: tensors, metadata: [("format", "pt")])
  }

  func remove(_ names: String...) throws { for name in names { _ = try FileSystem.remove(path + "/" + name) } }

  func makeDirectory(_ name: String) throws { try FileSystem.createDirectories(path + "/" + name) }

  func rename(_ name: String, to other: String) throws {
    try FileSystem.rename(path + "/" + name, to: path + "/" + other)
  }

  func link(_ name: String, to target: String) throws {
    try systemCall("link", name) { unsafe symlink(target, path + "/" + name) }
  }

  /// Changes members of a file that is an object.
  func change(_ name: String, _ members: [(String, JSONValue)]) throws {
    guard var object = try parseJSON(FileSystem.readAll(path + "/" + name, maximumBytes: 1 << 20)).objectValue else {
      preconditionFailure("'\(name)' is no object")
    }
    for (key, value) in members { object[key] = value }
    try write(name, .object(object))
  }

  static func shard(_ number: Int, of count: Int = 2) -> String { "model-0000\(number)-of-0000\(count).safetensors" }

  /// The tensors in turn into shards of these numbers; `scale` makes other weights of them.
  func writeShards(_ numbers: [Int] = [1, 2], of count: Int = 2, scale: Float = 1) throws {
    for number in numbers {
      try write(
        Self.shard(number, of: count),
        tensors.enumerated().filter { $0.offset % count == number - 1 }.map { _, tensor in
          SafetensorsTensor(name: tensor.name, shape: tensor.shape, values: tensor.values.map { $0 * scale })
        })
    }
  }

  /// The index of the shards, in the same order. `places` replaces the file of a tensor.
  func writeIndex(of count: Int = 2, totalBytes: Int? = nil, places: [String: String] = [:]) throws {
    var map = JSONObject()
    for (position, tensor) in tensors.enumerated() {
      map[tensor.name] = .string(places[tensor.name] ?? Self.shard(position % count + 1, of: count))
    }
    let bytes = totalBytes ?? tensors.reduce(0) { $0 + 4 * $1.values.count }
    try write(Self.index, ["metadata": ["total_size": JSONValue(bytes)], "weight_map": .object(map)])
  }

  func addByteOrderMark(_ name: String) throws {
    let text = try FileSystem.readAll(path + "/" + name, maximumBytes: 1 << 20)
    try FileSystem.writeAtomically(path + "/" + name, [0xEF, 0xBB, 0xBF] + text)
  }

  /// A model's directory in the hub's cache, with two snapshots, of which the second one is the model and the current one.
  func makeHubCache() throws -> String {
    let root = directory + "/models--org--tiny"
    for name in ["blobs", "refs", "snapshots/a0", "snapshots/b1"] {
      try FileSystem.createDirectories(root + "/" + name)
    }
    try FileSystem.writeAtomically(root + "/refs/main", Array("b1".utf8))
    for (name, blob) in [("config.json", "c0"), ("tokenizer.json", "d1"), (Self.single, "e2")] {
      try FileSystem.rename(path + "/" + name, to: root + "/blobs/" + blob)
      try systemCall("link", name) { unsafe symlink("../../blobs/" + blob, root + "/snapshots/b1/" + name) }
    }
    return root
  }

  /// A head with the embedding's values times `scale`.
  func head(scale: Float) -> SafetensorsTensor {
    guard let embedding = tensors.first(where: { $0.name == "model.embed_tokens.weight" }) else {
      preconditionFailure("a model has an embedding")
    }
    return SafetensorsTensor(
      name: "lm_head.weight", shape: embedding.shape, values: embedding.values.map { $0 * scale })
  }

  /// All tensors under other names.
  func renamed(_ name: (String) -> String) -> [SafetensorsTensor] {
    tensors.map { SafetensorsTensor(name: name($0.name), shape: $0.shape, values: $0.values) }
  }
}
