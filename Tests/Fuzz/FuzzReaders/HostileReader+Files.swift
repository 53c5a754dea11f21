import Digests
import Experts
import Glibc
import ModelFormats
import Multipliers
import SystemSupport
import TestSupport

extension HostileReader {
  // MARK: - safetensors

  static let safetensors = HostileReader(
    "safetensors",
    samples: {
      let tensors = [
        SafetensorsTensor(name: "a", shape: [2, 2], values: [1, 2, 3, 4]),
        SafetensorsTensor(name: "b", shape: [3], values: [5, 6, 7]),
      ]
      return [
        ("two", safetensorsBytes(tensors: tensors, metadata: [("t2.name", "x"), ("k", "\u{e9}\n")])),
        ("one", safetensorsBytes(tensors: [tensors[1]], metadata: [])),
      ]
    },
    read: { bytes in
      var refusal: (any Error)?
      for rules in [SafetensorsHeader.Rules.model, .expert] {
        do { try readTensors(bytes, rules) } catch {
          if error is BrokenPromise { throw error }
          refusal = error
        }
      }
      if let refusal { throw refusal }
    })

  /// What is accepted covers every byte once, gives all of its values, and is written so that the same is read back.
  private static func readTensors(_ bytes: [UInt8], _ rules: SafetensorsHeader.Rules) throws {
    let file = try SafetensorsFile(bytes, rules: rules)
    var end = bytes.count - file.tensors.reduce(0) { $0 + $1.byteRange.count }
    var tensors: [SafetensorsTensor] = []
    for tensor in file.tensors {
      try promise(tensor.byteRange.lowerBound == end, "'\(tensor.name)' does not begin where the last one ended")
      end = tensor.byteRange.upperBound
      // What is rounded is written as what it was rounded to, and read back as that.
      if tensor.type.isRead {
        tensors.append(.init(name: tensor.name, shape: tensor.shape, values: try file.floats(tensor.name)))
      }
    }
    try promise(end == bytes.count, "bytes are left over")
    guard !tensors.isEmpty else { return }
    let text = safetensorsBytes(tensors: tensors, metadata: file.metadata)
    let again = try ours("our own file is refused") { try SafetensorsFile(text, rules: rules) }
    try promise(again.metadata.count == file.metadata.count, "metadata are lost")
    for tensor in tensors {
      let values = try ours("a tensor is lost") { try again.floats(tensor.name) }
      try promise(sameBits(values, tensor.values), "'\(tensor.name)' has other values when it is read back")
    }
  }

  private static func sameBits(_ a: [Float], _ b: [Float]) -> Bool {
    a.count == b.count && zip(a, b).allSatisfy { $0.bitPattern == $1.bitPattern }
  }

  // MARK: - Experts

  /// Two layers of q (4 x 4) and up (6 x 4): rank 4 each.
  private static let signature: ModelSignature = {
    let matrices = (0..<2).flatMap { (layer: Int) -> [TargetMatrix] in
      [
        TargetMatrix(name: "model.layers.\(layer).self_attn.q_proj.weight", rows: 4, columns: 4, layer: layer),
        TargetMatrix(name: "model.layers.\(layer).mlp.up_proj.weight", rows: 6, columns: 4, layer: layer),
      ]
    }
    return ModelSignature(
      name: "tiny", modelID: "Tiny-1M", digest: SHA256.digest([0x61]), architecture: "LlamaForCausalLM",
      layout: MultiplierLayout(matrices))
  }()

  static let expert = HostileReader(
    "expert",
    samples: {
      var metadata = ExpertMetadata()
      metadata.name = "alpha"
      metadata.baseDigest = signature.digest
      var logits = metadata
      logits.parameterSpace = .logit
      logits.maximumMultiplier = 2
      logits.rescale = .nuclear
      (logits.label, logits.task, logits.metrics, logits.parents) = ("math", "t", #"{"acc":0.5}"#, "[1]")
      let tensors = [
        SafetensorsTensor(name: "model.layers.0.self_attn.q_proj.weight", shape: [4], values: [1, 1.5, 0.5, 1]),
        SafetensorsTensor(name: "model.layers.1.mlp.up_proj.weight", shape: [4], values: [0.9, 1, 1.1, 1.2]),
      ]
      let mixture = MixtureFile(
        name: "mixed", task: "t", vector: .ones(signature.layout.count), model: signature,
        parents: [.init(name: "alpha", version: 1, digest: signature.digest, alpha: [0.5])])
      return [
        ("multipliers", safetensorsBytes(tensors: tensors, metadata: metadata.entries)),
        ("logits", safetensorsBytes(tensors: tensors, metadata: logits.entries)),
        ("bare", safetensorsBytes(tensors: tensors, metadata: [])), ("mixture", mixture.bytes()),
        // As a wrapper named them, as rows, and with a step beside them.
        (
          "mended",
          safetensorsBytes(
            tensors: [SafetensorsTensor(name: "step", shape: [], values: [40])]
              + tensors.map { .init(name: "module._orig_mod." + $0.name, shape: [1, 4], values: $0.values) },
            metadata: metadata.entries)
        ),
      ]
    },
    read: { bytes in
      let expert = try ExpertFile.read(bytes: bytes, fileName: "x.safetensors").validated(against: [signature])
      try promise(expert.multiplierVector.values.allSatisfy(\.isFinite), "a multiplier is no number")
      _ = expert.summary.count
      // Exported and dropped again it is the same expert.
      let tensors = expert.parameters.map { matrix, values in
        SafetensorsTensor(name: expert.layout.matrices[matrix].name, shape: [values.count], values: values)
      }
      let text = safetensorsBytes(tensors: tensors, metadata: expert.metadata.entries)
      let again = try ours("the expert as we write it is refused") {
        try ExpertFile.read(bytes: text, fileName: "x.safetensors").validated(against: [signature])
      }
      try promise(again.contentDigest == expert.contentDigest, "the expert as we write it is another one")
      try promise(again.name == expert.name, "the expert as we write it has the name '\(again.name)'")
    })

  /// The index alone; its parts are good, and whatever it says of them they are joined whole or not at all.
  static let expertIndex = HostileReader(
    "expert-index",
    samples: {
      [("two", Array(#"{"metadata":{},"weight_map":{"a":"e-1-of-2.safetensors","b":"e-2-of-2.safetensors"}}"#.utf8))]
    },
    read: { bytes in
      let parts = ["a", "b"].enumerated().map { place, name in
        let tensor = SafetensorsTensor(name: name, shape: [2], values: [1, 2])
        return ("e-\(place + 1)-of-2.safetensors", safetensorsBytes(tensors: [tensor], metadata: []))
      }
      let joined = try ExpertIndex(bytes).joined(parts)
      let file = try ours("the joined file is refused") { try SafetensorsFile(joined) }
      try promise(file.tensors.map(\.name) == ["a", "b"], "a tensor is lost")
    })

  // MARK: - Models

  /// What stands behind the samples: values are as good as any others, and zeros need not be kept.
  private static let zeros = [UInt8](repeating: 0, count: 28 << 10)

  static let gguf = HostileReader(
    "gguf",
    samples: {
      [("llama", .tinyLlama()), ("gemma-k", .tinyGemma()), ("sentencepiece", .tinySentencePiece())].map {
        (name: String, file: SyntheticGGUF) in (name, file.header().bytes)
      } + ["qwen2", "qwen3", "phi3", "smollm3"].map { ($0, SyntheticGGUF.tiny($0).header().bytes) }
    },
    read: { try readModel(["m.gguf": $0 + zeros]) { $0 + "/m.gguf" } })

  /// The second part of a model, which the first stands beside.
  static let ggufPart = HostileReader(
    "gguf-part", samples: { [("second", SyntheticGGUF.tinyParts()[1].header().bytes)] },
    read: { bytes in
      let first = SyntheticGGUF.tinyParts()[0].build()
      try readModel(["m-00001-of-00002.gguf": first, "m-00002-of-00002.gguf": bytes + zeros]) {
        $0 + "/m-00002-of-00002.gguf"
      }
    })

  static func readModel(_ files: [String: [UInt8]], _ path: (String) -> String) throws {
    // A model is mapped, so it stays after its names have gone.
    let model = try withTemporaryDirectory { directory in
      for (name, bytes) in files {
        try FileDescriptor.open(directory + "/" + name, O_WRONLY | O_CREAT).write(all: bytes)
      }
      return try openModel(at: path(directory))
    }
    try promise(try model.digest() == model.digest(), "a model has two digests")
    if case .gguf(let lists)? = model.tokenizerDescription?.kind { try useTokenizer(.gguf(lists)) }
    for name in model.tensorNames {
      let values = try model.floats(name)
      guard let shape = model.shape(of: name), shape.count == 2 else { continue }
      // By rows, as several threads read it.
      var rows = [Float](repeating: 0, count: values.count)
      try unsafe rows.withUnsafeMutableBufferPointer { buffer in
        for row in 0..<shape[0] {
          let range = row * shape[1]..<(row + 1) * shape[1]
          try unsafe model.readRows(name, row..<row + 1, into: UnsafeMutableBufferPointer(rebasing: buffer[range]))
        }
      }
      try promise(sameBits(rows, values), "'\(name)' has other values row by row")
    }
  }

  static let torch = HostileReader(
    "torch", samples: { [("two", TorchArchive(pickle: Pickle.tensor(), storages: storages).bytes)] },
    read: { try readTorch($0) })

  /// Within a container that is right, whose checksum would refuse nearly all of them unread.
  static let pickle = HostileReader(
    "pickle",
    samples: {
      [
        ("flat", Pickle.tensor()), ("checkpoint", checkpoint),
        ("strided", Pickle.tensor(offset: 1, shape: [2, 1], strides: [1, 3], key: "1")),
      ]
    },
    read: { try readTorch(TorchArchive(pickle: $0, storages: storages).bytes) })

  /// `{"policy": {"x": tensor}, "args": Namespace(lr=None), "dtype": torch.float32}`
  private static let checkpoint: [UInt8] = {
    let policy = Pickle.tensor().dropFirst(Pickle.begin.count).dropLast(Pickle.stop.count)
    let arguments =
      Pickle.global("argparse", "Namespace") + [0x29, 0x81] + Pickle.emptyDictionary + Pickle.text("lr") + [0x4E]
      + Pickle.setItem + [0x62]
    let entries = [
      ("policy", Array(policy)), ("args", arguments), ("dtype", Pickle.global("torch", "float32")),
    ]
    return Pickle.begin + Pickle.emptyDictionary
      + entries.flatMap { Pickle.text($0.0) + $0.1 + Pickle.setItem } + Pickle.stop
  }()

  private static let storages = [[UInt8](repeating: 1, count: 16), [UInt8](repeating: 2, count: 16)]

  /// Every tensor has its values, and what is imported is an expert file that we read.
  private static func readTorch(_ bytes: [UInt8]) throws {
    let file = try TorchFile(bytes)
    for tensor in file.dictionaries.flatMap(\.tensors) where tensor.isRead {
      try promise(file.floats(tensor).count == tensor.shape.reduce(1, *), "'\(tensor.name)' has too few values")
    }
    guard let expert = try? SakanaExpert(file, for: signature) else { return }
    _ = try ours("the imported expert is refused") {
      try ExpertFile.read(bytes: expert.bytes(name: "x", label: nil), fileName: "x.safetensors")
    }
  }
}
