import Glibc
import Multipliers
import TestSupport
import StrictJSON
import SystemSupport
import Testing

@testable import ModelFormats

/// Files of models and of experts that were good once and are hostile now.
@Suite struct FormatMutationTests {
  /// What is accepted covers every byte once and gives all of its values.
  private static func readSafetensors(_ bytes: [UInt8], _ rules: SafetensorsHeader.Rules) throws {
    let file = try SafetensorsFile(bytes, rules: rules)
    var end = bytes.count - file.tensors.reduce(0) { $0 + $1.byteRange.count }
    for tensor in file.tensors {
      guard tensor.byteRange.lowerBound == end else { throw Hole() }
      end = tensor.byteRange.upperBound
      if tensor.type.elementType != nil { _ = try file.floats(tensor.name) }
    }
  }

  private struct Hole: Error {}

  private static let tensors = [
    SafetensorsTensor(name: "a", shape: [2, 2], values: [1, 2, 3, 4]),
    SafetensorsTensor(name: "b", shape: [3], values: [5, 6, 7]),
  ]

  @Test func aMutatedSafetensorsFileIsReadOrRefused() async {
    await #expect(processExitsWith: .success) {
      let whole = safetensorsBytes(tensors: Self.tensors, metadata: [("t2.name", "x"), ("k", "\u{e9}\n")])
      for rules in [SafetensorsHeader.Rules.expert, .model] {
        let problem = withstand([whole], count: 3000) { try Self.readSafetensors($0, rules) }
        #expect(problem == nil, "\(problem ?? "")")
        // The header alone, with a length that is right and values that are there.
        let header = Array(whole[8..<whole.count - 28])
        let other = withstand([header], count: 3000) { header in
          try Self.readSafetensors(little(UInt64(header.count)) + header + [UInt8](repeating: 0, count: 28), rules)
        }
        #expect(other == nil, "\(other ?? "")")
      }
    }
  }

  private static func readAll(_ model: OpenModel) throws {
    _ = (try model.digest(), model.parameterCount)
    for name in model.tensorNames { _ = try model.floats(name) }
  }

  @Test func aMutatedGGUFFileIsReadOrRefused() async {
    await #expect(processExitsWith: .success) {
      try withTemporaryDirectory { directory in
        let path = directory + "/m.gguf"
        for sample in [SyntheticGGUF.tinyLlama(), .tinyGemma()] {
          // The values are put behind again.
          let (header, valueBytes) = sample.header()
          let problem = withstand([header]) { bytes in
            try writeFile(path, bytes + [UInt8](repeating: 0, count: max(0, valueBytes + header.count - bytes.count)))
            try Self.readAll(openModel(at: path))
          }
          #expect(problem == nil, "\(problem ?? "")")
        }
      }
    }
  }

  @Test(arguments: 0...1) func aMutatedPartOfAGGUFModelIsReadOrRefused(part: Int) async {
    await #expect(processExitsWith: .success) { [part] in
      try withTemporaryDirectory { directory in
        let parts = SyntheticGGUF.tinyParts()
        let paths = (1...2).map { "\(directory)/m-0000\($0)-of-00002.gguf" }
        try writeFile(paths[1 - part], parts[1 - part].build())
        let (header, valueBytes) = parts[part].header()
        let problem = withstand([header], count: 3000) { bytes in
          try writeFile(
            paths[part], bytes + [UInt8](repeating: 0, count: max(0, valueBytes + header.count - bytes.count)))
          try Self.readAll(openModel(at: paths[0]))
        }
        #expect(problem == nil, "\(problem ?? "")")
      }
    }
  }

  @Test func aMutatedConfigurationOfAModelIsReadOrRefused() async {
    await #expect(processExitsWith: .success) {
      var samples: [[UInt8]] = []
      for model in FamilyTests.names {
        for name in ["config.json", "config.v4.json"] {
          samples.append(try FileSystem.readAll(fixtureModel(model) + "/" + name, maximumBytes: 1 << 16))
        }
      }
      let problem = withstand(samples) { bytes in
        let config = HuggingFaceConfig(path: "config.json", object: try parseJSON(bytes).objectValue ?? [:])
        let model = try config.configuration(of: config.family(), modelID: "m")
        try model.check(path: "config.json")
        _ = (model.requiredTensors.count, MultiplierLayout(model.targets).count)
      }
      #expect(problem == nil, "\(problem ?? "")")
    }
  }

  @Test func aMutatedIndexOfShardsIsReadOrRefused() async {
    await #expect(processExitsWith: .success) {
      try withTemporaryDirectory { directory in
        // Names that a model may have and need not.
        let (a, b) = ("a.rotary_emb.inv_freq", "b.rotary_emb.inv_freq")
        for (file, name) in [("one", a), ("two", b)] {
          let tensor = SafetensorsTensor(name: name, shape: [2], values: [1, 2])
          try writeFile(directory + "/\(file).safetensors", safetensorsBytes(tensors: [tensor], metadata: []))
        }
        let configuration = ModelConfiguration(
          modelID: "m", layers: 1, hidden: 8, intermediate: 8, heads: 1, kvHeads: 1, headDim: 8, vocabulary: 8,
          contextLength: 8, ropeTheta: 1, rmsEpsilon: 1, tiedEmbeddings: true)
        let index: JSONValue = [
          "weight_map": .object([a: "one.safetensors", b: "two.safetensors"]), "metadata": ["total_size": 16],
        ]
        let problem = withstand([index.serialized()], count: 2000) { bytes in
          try writeFile(directory + "/model.safetensors.index.json", bytes)
          _ = try HuggingFaceTensors(directory: ModelDirectory(directory), configuration: configuration)
        }
        #expect(problem == nil, "\(problem ?? "")")
      }
    }
  }

  private static func readTorch(_ bytes: [UInt8]) throws {
    let file = try TorchFile(bytes)
    for tensor in file.dictionaries.flatMap(\.tensors) where tensor.isRead {
      guard file.floats(tensor).count == tensor.shape.reduce(1, *) else { throw Hole() }
    }
  }

  @Test func aMutatedFileOfTorchSaveIsReadOrRefused() async {
    await #expect(processExitsWith: .success) {
      let files = try ["policy_params.pt", "learnable_params.pt", "kinds.pt", "protocol4.pt"].map { name in
        try FileSystem.readAll(fixture(name), maximumBytes: 1 << 20)
      }
      let problem = withstand(files, count: 4000) { try Self.readTorch($0) }
      #expect(problem == nil, "\(problem ?? "")")
    }
  }

  /// Within the container, whose checksum would refuse nearly all of them unread.
  @Test func aMutatedPickleIsReadOrRefused() async {
    await #expect(processExitsWith: .success) {
      let storages = [[UInt8](repeating: 1, count: 16), [UInt8](repeating: 2, count: 16)]
      var pickles = [Pickle.tensor(), Pickle.tensor(offset: 1, shape: [2, 1], strides: [1, 3], key: "1")]
      for name in ["policy_params.pt", "kinds.pt", "protocol4.pt"] {
        let archive = try ZipArchive(FileSystem.readAll(fixture(name), maximumBytes: 1 << 20))
        let entry = archive.names.first { $0.hasSuffix("/data.pkl") } ?? ""
        pickles.append(Array(try archive.content(entry) ?? []))
      }
      let problem = withstand(Array(pickles[..<2]), count: 3000) {
        try Self.readTorch(TorchArchive(pickle: $0, storages: storages).bytes)
      }
      #expect(problem == nil, "\(problem ?? "")")
      // What the fixtures' pickles refer to is not there, which is found out behind the pickle.
      let other = withstand(pickles) { _ = try PickleReader.dictionaries($0[...]) }
      #expect(other == nil, "\(other ?? "")")
    }
  }
}
