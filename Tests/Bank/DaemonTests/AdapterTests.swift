import Daemon
import Digests
import Experts
import Glibc
import ModelFormats
import Multipliers
import Records
import StrictJSON
import SystemSupport
import TestSupport
import Testing
import Watcher

/// What engines are given for a name.
@Suite struct AdapterTests {
  private static let layout = MultiplierLayout(TinyModel.targets)

  /// Of `expertBytes`.
  private static func vector(_ value: Float) -> [Float] {
    TinyModel.targets.flatMap { _ in (0..<4).map { value + Float($0) / 16 } }
  }

  private static func digest(_ values: [Float]) -> String { MultiplierVector(values).digest(in: layout).description }

  /// What an engine reads back of an adapter's directory: s, by the sum of both factors, of which one is zero.
  private static func multipliers(_ path: JSONValue?) throws -> [Float] {
    let file = try SafetensorsFile.open(path: try #require(path?.stringValue) + "/adapter_model.safetensors")
    #expect(file.tensors.count == 2 * TinyModel.targets.count)
    return try TinyModel.targets.flatMap { target in
      let names = AdapterFiles.factorNames(of: target)
      let (a, b) = (try file.floats(names.a), try file.floats(names.b))
      #expect(a.count == target.columns && b.count == target.rows)
      return (0..<target.rank).map { a[$0] + b[$0] }
    }
  }

  private static func resolve(_ t2d: Harness, _ name: String, engine: String = "tiny") throws -> JSONValue {
    try t2d.call("adapter.resolve", ["engine_model": .string(engine), "name": .string(name)])
  }

  private static func refusal(_ t2d: Harness, _ name: String, engine: String = "tiny") throws -> String {
    try t2d.refusal("adapter.resolve", ["engine_model": .string(engine), "name": .string(name)])
  }

  /// A model, two experts, and a task with a mixture.
  private static func fill(_ t2d: Harness) throws {
    try t2d.addModel()
    try t2d.dropExpert("honey", value: 1.5)
    try t2d.dropExpert("milk", value: 0.5)
    try t2d.sync()
    try t2d.dropTask("bees")
    _ = try t2d.settledMixture("bees")
  }

  @Test func anExpertIsAContainerOfItsMultipliers() throws {
    try withDaemon { t2d in
      try Self.fill(t2d)
      let found = try Self.resolve(t2d, "honey")
      #expect(found["name"] == "honey" && found["model"] == "tiny" && found["warnings"] == nil)
      #expect(found["digest"]?.stringValue == Self.digest(Self.vector(1.5)))
      #expect(try Self.multipliers(found["path"]) == Self.vector(1.5))
      let path = try #require(found["path"]?.stringValue)
      let hex = try #require(found["digest"]?.stringValue?.dropFirst(7))
      #expect(path.hasPrefix("\(t2d.prefix)/var/run/t2d/adapters/") && path.hasSuffix("/\(hex)"))
      let text = try FileSystem.readAll(path + "/adapter_config.json", maximumBytes: 1 << 16)
      let configuration = try parseJSON(text)
      #expect(configuration["peft_type"] == "LORA" && configuration["r"] == 1)
      #expect(configuration["target_modules"] == ["gate_proj", "up_proj"])
      #expect(configuration["t2"]?["kind"] == "svf-slot" && configuration["t2"]?["digest"] == found["digest"])
      // Written once, and under every name that the model has.
      let file = try FileSystem.status(path + "/adapter_model.safetensors")
      for (name, engine) in [
        ("honey@1", "tiny"), ("tiny/expert:honey", "\(t2d.prefix)/tiny.gguf"), ("honey=1", "org/tiny"),
      ] {
        #expect(try Self.resolve(t2d, name, engine: engine)["path"] == found["path"], "\(name)")
      }
      #expect(try FileSystem.status(path + "/adapter_model.safetensors") == file)
    }
  }

  @Test func aTaskHasTheNameOfAFileThatIsTaken() {
    #expect(TaskName.maximumBytes == NameRules.maximumBytes)
  }

  @Test func whereRowsAreCutTheMultipliersRideInTheOtherFactor() throws {
    let matrix = TargetMatrix(name: "model.layers.0.mlp.down_proj.weight", rows: 2, columns: 3, layer: 0)
    let layout = MultiplierLayout([matrix])
    let file = try SafetensorsFile(AdapterFiles.slot(MultiplierVector([0.5, 3]), layout: layout))
    let prefix = "base_model.model.model.layers.0.mlp.down_proj"
    #expect(file.tensors.map(\.name).sorted() == ["\(prefix).lora_A.weight", "\(prefix).lora_B.weight"])
    #expect(file.tensors.map(\.shape) == [[1, 3], [2, 1]])
    #expect(try file.floats("\(prefix).lora_A.weight") == [0, 0, 0])
    #expect(try file.floats("\(prefix).lora_B.weight") == [0.5, 3])
  }

  @Test func aMixtureOfOnesOwnIsMixedAsItSays() throws {
    try withDaemon { t2d in
      try Self.fill(t2d)
      let found = try Self.resolve(t2d, "milk=0.250+honey=0.5")
      #expect(found["name"] == "honey=0.5+milk=0.25")
      let expected = zip(Self.vector(1.5), Self.vector(0.5)).map { Float(0.25 + 0.5 * Double($0) + 0.25 * Double($1)) }
      #expect(found["digest"]?.stringValue == Self.digest(expected))
      #expect(try Self.resolve(t2d, "honey=0.0")["digest"]?.stringValue == Self.digest([Float](repeating: 1, count: 8)))
      // Which would scale whole matrices.
      #expect(try Self.refusal(t2d, "honey=0.5#sum") == "bad_mixture")
    }
  }

  @Test func aTaskIsWhatIsServedForItNowOrThen() throws {
    let worker = FakeWorker()
    worker.varyVectors()
    try withDaemon(worker) { t2d in
      try Self.fill(t2d)
      let first = try Self.resolve(t2d, "bees")
      let mixture = try t2d.call("mixture.get", ["task": "bees"])
      #expect(first["generation"] == mixture["generation"])
      let generation = try #require(first["generation"]?.integerValue)
      try t2d.dropExpert("wax", value: 1.25)
      _ = try t2d.settledMixture("bees")
      let second = try Self.resolve(t2d, "bees")
      #expect(second["digest"] != first["digest"])
      #expect(try #require(second["generation"]?.integerValue) > generation)
      let then = try Self.resolve(t2d, "bees@\(generation)")
      #expect(then["digest"] == first["digest"] && then["path"] == first["path"])
      #expect(then["generation"]?.integerValue == generation)
      #expect(try Self.refusal(t2d, "bees@1") == "not_found")
      #expect(try Self.refusal(t2d, "bees@99999") == "not_found")
    }
  }

  @Test func aTaskGoesBeforeAnExpertOfItsName() throws {
    try withDaemon { t2d in
      try Self.fill(t2d)
      try t2d.dropExpert("bees", value: 0.75)
      _ = try t2d.settledMixture("bees")
      let task = try Self.resolve(t2d, "bees")
      #expect(task["warnings"]?.arrayValue?.first?.stringValue?.contains("the expert is expert:bees") == true)
      let expert = try Self.resolve(t2d, "expert:bees")
      #expect(expert["digest"]?.stringValue == Self.digest(Self.vector(0.75)))
      #expect(expert["warnings"] == nil && task["digest"] != expert["digest"])
    }
  }

  @Test func whatThereIsNotIsSaidAtOnce() throws {
    try withDaemon { t2d in
      try Self.fill(t2d)
      for name in ["nobody", "honey@2", "expert:bees", "honey=0.5+nobody=0.5", "other/honey", "../honey", "gpt-4o"] {
        #expect(try Self.refusal(t2d, name) == "not_found", "\(name)")
      }
      for name in ["", "..", "honey=0.5+", "a b", "honey#", "/etc/passwd "] {
        #expect(try Self.refusal(t2d, name) == "invalid_params", "\(name)")
      }
      #expect(try Self.refusal(t2d, "honey", engine: "org/other") == "unknown_model")
      #expect(try FileSystem.entries("\(t2d.prefix)/var/run/t2d/adapters").isEmpty)
    }
  }

  @Test func theBaseDecidesBetweenModelsOfOneID() throws {
    try withDaemon { t2d in
      try Self.fill(t2d)
      try t2d.addModel("other", content: "GGUF other")
      #expect(try Self.refusal(t2d, "honey", engine: "org/tiny") == "ambiguous_model")
      #expect(try Self.resolve(t2d, "tiny/honey", engine: "org/tiny")["model"] == "tiny")
    }
  }

  @Test func singularValuesAreAskedOfTheWorker() throws {
    try withDaemon { t2d in
      try Self.fill(t2d)
      try t2d.dropExpert("loud", value: 1.5, metadata: [(key: "t2.rescale", value: "nuclear")])
      try t2d.sync()
      let found = try Self.resolve(t2d, "loud")
      // The double's answer.
      #expect(try Self.multipliers(found["path"]) == [Float](repeating: 0.5, count: 8))
      #expect(try FileSystem.entries("\(t2d.prefix)/var/lib/t2d/staging").isEmpty)
    }
  }

  @Test func adaptersAreReadByTheirGroupAloneAndGoWithTheNextStart() throws {
    var configuration = Configuration.forTests
    configuration.adapterGroup = "\(getegid())"
    try withDaemon(configuration: configuration) { t2d in
      try Self.fill(t2d)
      let path = try #require(try Self.resolve(t2d, "honey")["path"]?.stringValue)
      func mode(_ path: String) throws -> UInt32 { try #require(try FileSystem.status(path)).mode }
      for directory in [path, FileSystem.split(path).directory, "\(t2d.prefix)/var/run/t2d/adapters"] {
        #expect(try mode(directory) == 0o750, "\(directory)")
      }
      for file in [AdapterFiles.configuration, AdapterFiles.weights] { #expect(try mode("\(path)/\(file)") == 0o640) }
      try t2d.restart(with: configuration)
      #expect(try FileSystem.status(path) == nil)
      #expect(try Self.resolve(t2d, "honey")["path"]?.stringValue == path)
      #expect(try FileSystem.status(path) != nil)
    }
  }

  @Test(.enabled(if: geteuid() == 0, "only root can become another user"))
  func anEngineUnderAnotherUserReadsThemByItsGroup() throws {
    var configuration = Configuration.forTests
    configuration.adapterGroup = "12345"
    try withDaemon(configuration: configuration) { t2d in
      try Self.fill(t2d)
      let path = try #require(try Self.resolve(t2d, "honey")["path"]?.stringValue) + "/adapter_model.safetensors"
      try systemCall("chmod", t2d.prefix) { unsafe chmod(t2d.prefix, 0o755) }
      #expect(try Self.reads(path, group: 12_345))
      #expect(try !Self.reads(path, group: 65_534))
    }
  }

  /// Whether a process of nobody's that is in a group can read a file.
  private static func reads(_ path: String, group: Int) throws -> Bool {
    let command = "setpriv --reuid 65534 --regid \(group) --clear-groups cat '\(path)' > /dev/null 2>&1 && echo yes"
    let pipe = unsafe try #require(unsafe popen(command, "r"))
    defer { _ = unsafe pclose(pipe) }
    return unsafe fgetc(pipe) == Int32(UInt8(ascii: "y"))
  }

  @Test func aFullDiskLeavesNothingHalf() throws {
    try withDaemon { t2d in
      try Self.fill(t2d)
      let adapters = "\(t2d.prefix)/var/run/t2d/adapters"
      // No directory can be made below a file.
      try FileSystem.removeTree(adapters)
      try FileSystem.writeAtomically(adapters, [])
      #expect(try Self.refusal(t2d, "honey") == "not_stored")
      try FileSystem.remove(adapters)
      try FileSystem.createDirectories(adapters, mode: 0o750)
      _ = try Self.resolve(t2d, "honey")
      #expect(try FileSystem.entries(adapters).count == 1)
    }
  }

  @Test func theContainerAndTheLoRAAreHandedOutOpen() throws {
    try withDaemon { t2d in
      try Self.fill(t2d)
      let container = try t2d.call("mixture.export", ["name": "honey", "pass_fd": true])
      let file = try #require(t2d.client.takeDescriptor())
      #expect(try file.status().size == container["bytes"]?.intValue)
      #expect(container["configuration"]?["t2"]?["kind"] == "svf-slot" && container["fit"] == nil)
      let lora = try t2d.call("mixture.export", ["name": "honey", "rank": 2, "pass_fd": true])
      let weights = try #require(t2d.client.takeDescriptor())
      #expect(try weights.bytes(at: 0, count: 100) == Array("LoRA of 2".utf8))
      #expect(lora["configuration"]?["r"] == 2 && lora["fit"]?["exact"] == false)
      #expect(lora["configuration"]?["t2"]?["fit"]?["relative_error"] == 0.5)
      #expect(try FileSystem.entries("\(t2d.prefix)/var/lib/t2d/staging").isEmpty)
    }
  }
}
