import ModelFormats
import StrictJSON
import SystemSupport
import TestSupport
import Testing

@Suite struct TorchFileTests {
  private func file(_ name: String) throws -> [UInt8] {
    try FileSystem.readAll(fixture(name), maximumBytes: 1 << 20)
  }

  /// What the script says of a file: names, shapes and values.
  private func expected(_ name: String) throws -> [JSONValue] {
    try #require(parseJSON(file("torch.json"))[name]?.arrayValue)
  }

  private func problem(_ bytes: [UInt8]) -> String {
    do throws(TorchFileError) {
      let file = try TorchFile(bytes)
      return "accepted with \(file.tensors.count) tensors"
    } catch {
      return error.description
    }
  }

  private func problem(pickle: [UInt8], _ storages: [[UInt8]] = []) -> String {
    problem(TorchArchive(pickle: pickle, storages: storages).bytes)
  }

  @Test(arguments: [
    ("policy_params", "policy_params"), ("learnable_params", "learnable_params"), ("kinds", "kinds"),
    ("protocol4", "kinds"),
  ])
  func whatPyTorchSavedHasItsNamesOrderShapesAndValues(_ name: String, _ values: String) throws {
    let file = try TorchFile(try file(name + ".pt"))
    let expected = try expected(values)
    #expect(file.tensors.map(\.name) == expected.map { $0["name"]?.stringValue })
    for (tensor, expected) in zip(file.tensors, expected) {
      #expect(tensor.shape == expected["shape"]?.arrayValue?.compactMap(\.intValue), "\(tensor.name)")
      let values = expected["values"]?.arrayValue?.compactMap { $0.doubleValue.map { Float($0) } }
      #expect(file.floats(tensor) == values, "\(tensor.name)")
    }
  }

  @Test func anArchiveByHandIsReadToo() throws {
    let bytes = TorchArchive(
      pickle: Pickle.tensor(offset: 1), storages: [[1, 2.5, -3, 4].flatMap { little(Float($0).bitPattern) }]
    ).bytes
    let file = try TorchFile(bytes)
    #expect(file.tensors.map(\.name) == ["x"])
    #expect(file.floats(file.tensors[0]) == [2.5, -3])
  }

  @Test func doublesAreRoundedAndIntegersAreSteppedOver() throws {
    let values: [Double] = [0.1, -1e-300, 1e300, 2]
    let bytes = TorchArchive(
      pickle: Pickle.tensor(shape: [4], type: "DoubleStorage"), storages: [values.flatMap { little($0.bitPattern) }]
    ).bytes
    let doubles = try TorchFile(bytes)
    #expect(doubles.tensors[0].isRounded && doubles.floats(doubles.tensors[0]) == [0.1, -0, .infinity, 2])
    let integers = try TorchFile(TorchArchive(pickle: Pickle.tensor(type: "LongStorage")).bytes)
    #expect(integers.tensors.map(\.isRead) == [false] && integers.tensors[0].type == "torch.LongStorage")
  }

  /// A checkpoint: `{"policy": {"x": tensor}, "args": Namespace(lr=None), "dtype": torch.float32}`.
  @Test func whatLiesBesideTheTensorsIsNamed() throws {
    let arguments =
      Pickle.global("argparse", "Namespace") + [0x29, 0x81, 0x7D] + Pickle.text("lr") + [0x4E, 0x73, 0x62]
    let device = Pickle.global("torch", "device") + [0x29] + Pickle.reduce
    let pickle =
      Pickle.begin + Pickle.emptyDictionary
      + (Pickle.text("policy") + Pickle.tensor().dropFirst(2).dropLast() + Pickle.setItem)
      + (Pickle.text("args") + arguments + Pickle.setItem)
      + (Pickle.text("dtype") + Pickle.global("torch", "float32") + Pickle.setItem)
      + (Pickle.text("device") + device + Pickle.setItem) + Pickle.stop
    let file = try TorchFile(TorchArchive(pickle: pickle, storages: [[UInt8](repeating: 0, count: 16)]).bytes)
    #expect(file.dictionaries.map(\.path) == ["", "policy"])
    #expect(file.tensors.isEmpty && file.dictionaries[1].tensors.map(\.name) == ["x"])
    #expect(file.dictionaries[0].others.map(\.name) == ["policy", "args", "dtype", "device"])
    #expect(
      file.dictionaries[0].others.map(\.kind)
        == ["a dictionary", "'argparse.Namespace'", "'torch.float32'", "'torch.device'"])
    // Nothing else may be made anew.
    #expect(
      problem(pickle: Pickle.begin + Pickle.global("collections", "OrderedDict") + [0x29, 0x81]).contains("for NEWOBJ:")
    )
  }

  @Test func whatWouldRunIsRefusedByInstructionAndNameAndPlace() throws {
    #expect(
      try problem(file("calls-system.pt"))
        == "its pickle is refused at byte 13 for GLOBAL posix.system: only tensors, dictionaries and plain values are read, "
        + "and nothing of it was executed; save the tensors alone: torch.save(module.state_dict(), 'NEW.pt')")
    #expect(try problem(file("calls-system-4.pt")).contains(" for STACK_GLOBAL posix.system:"))
    #expect(try problem(file("whole-module.pt")).contains(" for GLOBAL __main__.Policy:"))
    let system = Pickle.global("os", "system")
    #expect(problem(pickle: Pickle.begin + system + Pickle.stop).contains("at byte 2 for GLOBAL os.system:"))
    #expect(problem(pickle: Pickle.begin + Pickle.global("builtins", "eval")).contains("GLOBAL builtins.eval:"))
    // Known names that stand for no function, and attributes of something else than a module's dictionary.
    #expect(
      problem(pickle: Pickle.begin + Pickle.global("torch", "FloatStorage") + [0x29] + Pickle.reduce)
        .contains("for REDUCE torch.FloatStorage:"))
    #expect(problem(pickle: Pickle.begin + [0x5D, 0x7D, 0x62]).contains("for BUILD:"))
    #expect(
      problem(pickle: Pickle.begin + [0x7D, 0x7D] + Pickle.text("__class__") + [0x4E, 0x73, 0x62]).contains(
        "for BUILD:"))
    // A dictionary of many keys would be walked through by each BUILD.
    let metadata = Pickle.text("_metadata") + [0x4E, 0x73]
    #expect(problem(pickle: Pickle.begin + [0x7D, 0x7D] + metadata + [0x62] + Pickle.stop).contains("accepted with 0"))
    #expect(
      problem(pickle: Pickle.begin + [0x7D, 0x7D] + metadata + metadata + [0x62] + Pickle.stop).contains("for BUILD:"))
    let refused: [(UInt8, String)] = [
      (0x69, "INST"), (0x6F, "OBJ"), (0x92, "NEWOBJ_EX"), (0x82, "EXT1"), (0x50, "PERSID"),
      (0x53, "STRING"), (0x32, "DUP"), (0x43, "SHORT_BINBYTES"), (0x8D, "BINUNICODE8"), (0x98, "READONLY_BUFFER"),
    ]
    for (opcode, name) in refused {
      #expect(problem(pickle: Pickle.begin + [opcode]).contains("refused at byte 2 for \(name):"), "\(name)")
    }
  }

  @Test func anotherFormatIsNamed() throws {
    #expect(
      try problem(file("legacy.pt"))
        == "expected a file of torch.save, found one of before PyTorch 1.6; convert it: python3 -c \"import torch; "
        + "torch.save(torch.load('FILE', map_location='cpu', weights_only=True), 'NEW.pt')\"")
    #expect(problem([0x80, 2, 0x7D, 0x71, 0, 0x2E]).contains("found a bare pickle; where you trust it, convert it"))
    #expect(problem(safetensors(#"{"a":1}"#)).contains("found a safetensors file; t2ctl expert register takes it"))
    #expect(problem([0x1F, 0x8B, 8, 0, 0]).contains("found a gzip archive; unpack it first: gunzip"))
    #expect(problem(Array("version https://git-lfs.github.com/spec/v1\nsize 7\n".utf8)).contains("run 'git lfs pull'"))
    #expect(problem([]).contains("an empty file"))
    #expect(problem(Array("hello".utf8)).contains("a file of another format"))
    #expect(try problem(file("list.pt")).contains("it is not a dictionary of tensors: it is a list"))
    #expect(try problem(file("number.pt")).contains("the entry 'a' is a number"))
    #expect(
      problem(pickle: Pickle.tensor(type: "QInt8Storage"))
        == "it has values of 'torch.QInt8Storage'; read are torch.FloatStorage, torch.HalfStorage, torch.BFloat16Storage, "
        + "torch.DoubleStorage")
    var script = TorchArchive(pickle: Pickle.tensor())
    script.entries.append(.init(name: "a/constants.pkl", content: []))
    #expect(problem(script.bytes).contains("found a TorchScript archive; save its tensors"))
    var bigEndian = TorchArchive(pickle: Pickle.tensor(), storages: [[UInt8](repeating: 0, count: 16)])
    bigEndian.entries.append(.init(name: "a/byteorder", content: Array("big".utf8)))
    #expect(problem(bigEndian.bytes).contains("byte order 'big'"))
    #expect(problem([UInt8](repeating: 0, count: TorchFile.maximumBytes + 1)).contains("at most 67108864 are read"))
    let long = Pickle.begin + [UInt8](repeating: 0x4E, count: 1 << 20)
    #expect(problem(pickle: long).contains("at most 1048576 are read"))
  }

  @Test func aZipThatLiesIsRefused() throws {
    #expect(
      try problem(file("deflated.pt")).contains(
        "is compressed, as torch.save leaves none: it was packed again; store its entries as they are: python3 -c"))
    let zeros = [UInt8](repeating: 0, count: 16)
    let good = TorchArchive(pickle: Pickle.tensor(), storages: [zeros])
    #expect(problem(good.bytes) == "accepted with 1 tensors")
    func changed(_ change: (inout TorchArchive) -> Void) -> String {
      var archive = good
      change(&archive)
      return problem(archive.bytes)
    }
    #expect(changed { $0.entries[1].size = 12 }.contains("has the two sizes 16 and 12"))
    #expect(changed { ($0.entries[1].size, $0.entries[1].storedSize) = (.max, .max) }.contains("would lie at"))
    #expect(changed { $0.entries[1].offset = .max }.contains("has no header at 4294967295"))
    #expect(changed { $0.entries[1].offset = 1 }.contains("has no header at 1"))
    #expect(changed { $0.entries[1].checksum = 1 }.contains("the bytes of entry 'a/data/0' do not have its checksum"))
    #expect(changed { $0.entries[1].name = "a/data.pkl" }.contains("two entries are named 'a/data.pkl'"))
    #expect(changed { $0.entries[0].name = "a/data.json" }.contains("a zip file with 0 entries 'data.pkl'"))
    #expect(changed { $0.entries[1].name = "b/data.pkl" }.contains("a zip file with 2 entries 'data.pkl'"))
    #expect(changed { $0.count = .max }.contains("its directory ends before entry 2 of 65535"))
    #expect(changed { $0.directoryStart = .max }.contains("behind its end"))
    #expect(changed { $0.directoryStart = 0 }.contains("its directory ends before entry 0"))
    #expect(problem(good.bytes + [0]).contains("it is cut off or goes on"))
    for length in [4, 21, 22, 100, good.bytes.count - 1] {
      #expect(problem(Array(good.bytes.prefix(length))).contains("cut off"), "\(length)")
    }
  }

  @Test func aTensorStaysWithinItsStorage() throws {
    let zeros = [UInt8](repeating: 0, count: 16)
    let outside: [[UInt8]] = [
      Pickle.tensor(offset: 3), Pickle.tensor(offset: -1), Pickle.tensor(offset: .max), Pickle.tensor(strides: [4]),
      Pickle.tensor(strides: [.max]), Pickle.tensor(shape: [.max]),
      Pickle.tensor(shape: [.max, .max], strides: [1, 1]),
      // Values that share a place: 2^40 of them in 4 bytes.
      Pickle.tensor(shape: [1 << 40], strides: [0]),
    ]
    for pickle in outside { #expect(problem(pickle: pickle, [zeros]).contains("are not within the 4 of its storage")) }
    for pickle in [
      Pickle.tensor(strides: [-1]), Pickle.tensor(shape: [0]), Pickle.tensor(shape: [-2]), Pickle.tensor(shape: [.min]),
    ] {
      #expect(problem(pickle: pickle, [zeros]).contains("its shape is"))
    }
    let deep = [Int64](repeating: 1, count: 9)
    #expect(
      problem(pickle: Pickle.tensor(shape: deep, strides: deep), [zeros]).contains("of at most 8 dimensions"))
    for count: Int64 in [3, 5, 1 << 61] {
      #expect(
        problem(pickle: Pickle.tensor(shape: [1], count: count), [zeros]).contains("its storage '0' has 16 bytes"))
    }
    #expect(problem(pickle: Pickle.tensor(shape: [1], count: -4), [zeros]).contains("are not within the -4"))
    #expect(problem(pickle: Pickle.tensor(key: "../0"), [zeros]).contains("its storage '../0' has 0 bytes"))
    #expect(problem(pickle: Pickle.tensor(shape: [2, 1]), [zeros]).contains("a shape with strides"))
  }

  @Test func aPickleThatContradictsItselfIsAnErrorWithItsPlace() throws {
    let begin = Pickle.begin
    let cases: [([UInt8], String)] = [
      ([], "at byte 0: an instruction of 1 bytes, of which 0 are there"),
      (begin, "at byte 2: an instruction"),
      ([0x80, 1], "a pickle of protocol 1; 2 to 5 are read"),
      (begin + begin, "at byte 2: a pickle of protocol 2"),
      (begin + [0xFF], "255 is not an instruction"),
      (begin + [0x58, 0xFF, 0xFF, 0xFF, 0xFF], "a text of 4294967295 bytes, of which 0 are there"),
      (begin + [0x58, 1, 0, 0, 0, 0xFF], "a text that is not UTF-8"),
      (begin + [0x8A, 9] + [UInt8](repeating: 0, count: 9), "a number of 9 bytes"),
      (begin + [0x95] + little(UInt64.max), "the number 18446744073709551615 is too large"),
      (begin + [0x95] + little(UInt64(5)), "a frame of 5 bytes goes beyond the end"),
      (begin + [0x63] + [UInt8](repeating: 0x61, count: 1000), "a name of more than 256 bytes, or cut off"),
      (begin + [0x2E], "there is no value on its stack"),
      (begin + [0x7D, 0x2E, 0x4E], "it ends with 0 values and 1 bytes to spare"),
      (begin + [0x7D, 0x7D, 0x2E], "it ends with 1 values and 0 bytes to spare"),
      (begin + [0x4E, 0x86], "there are no 2 values on its stack"),
      (begin + [0x4E, 0x28, 0x85], "there are no 1 values on its stack"),
      (begin + [0x74], "there is no mark on its stack"),
      (begin + [0x7D, 0x28, 0x2E], "there is no value on its stack"),
      (begin + [0x68, 7], "nothing was put at 7"),
      (begin + [0x7D, 0x4E, 0x61], "it appends to a dictionary"),
      (begin + [0x5D, 0x4E, 0x4E, 0x73], "it sets 2 keys and values of a list"),
      (begin + [0x7D, 0x28, 0x4E, 0x75], "it sets 1 keys and values of a dictionary"),
      (begin + [0x4E, 0x4E, 0x52], "it calls None with None"),
      (begin + [0x4E, 0x51], "a reference to something else than a storage"),
      (begin + [0x4E, 0x4E, 0x93], "STACK_GLOBAL needs two texts"),
      (begin + Pickle.global("torch._utils", "_rebuild_parameter") + [0x29, 0x52], "a parameter that is not made of"),
      (begin + Pickle.global("collections", "OrderedDict") + [0x4E, 0x85, 0x52], "an OrderedDict made of 1 arguments"),
      (begin + [0x7D, 0x4E, 0x4E, 0x73, 0x2E], "a key is None"),
    ]
    for (pickle, message) in cases {
      #expect(problem(pickle: pickle).contains(message), "\(problem(pickle: pickle))")
    }
    let twice = Pickle.tensor().dropLast(1) + Pickle.tensor().dropFirst(3)
    #expect(problem(pickle: Array(twice), [[UInt8](repeating: 0, count: 16)]).contains("'x': it is there twice"))
  }

  @Test func whatHoldsItselfOrNestsDeeplyIsOnlyData() throws {
    // A list that holds itself, as the entry "x"; a dictionary that holds itself; a hundred thousand tuples in each other.
    let list = Pickle.begin + [0x7D] + Pickle.text("x") + [0x5D, 0x71, 0, 0x68, 0, 0x61] + Pickle.setItem + Pickle.stop
    #expect(problem(pickle: list).contains("the entry 'x' is a list"))
    let dictionary = Pickle.begin + [0x7D, 0x71, 0] + Pickle.text("x") + [0x68, 0] + Pickle.setItem + Pickle.stop
    #expect(problem(pickle: dictionary).contains("the entry 'x' is a dictionary"))
    let deep = Pickle.begin + [0x4E] + [UInt8](repeating: 0x85, count: 100_000) + Pickle.stop
    #expect(problem(pickle: deep).contains("it is a tuple"))
    // Each tuple holds the one before it twice: 2^1000 values if anything walked through them.
    let doubling =
      Pickle.begin + [0x4E] + [[UInt8]](repeating: [0x71, 0, 0x68, 0, 0x86], count: 1000).joined() + Pickle.stop
    #expect(problem(pickle: doubling).contains("it is a tuple"))
  }
}
