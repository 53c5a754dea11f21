import ModelFormats
import StrictJSON
import SystemSupport
import Testing

@Suite struct SafetensorsFileTests {
  private func verdict(_ bytes: [UInt8], rules: SafetensorsHeader.Rules = .expert) -> Verdict {
    do throws(SafetensorsError) {
      let file = try SafetensorsFile(bytes, rules: rules)
      for tensor in file.tensors { _ = try file.floats(tensor.name) }
      return .accept
    } catch {
      return error.isIncomplete ? .incomplete : .reject(error.code)
    }
  }

  @Test func allHandMadeCasesAreThere() { #expect(safetensorsCases.count == 66) }

  @Test(arguments: safetensorsCases)
  func everyHandMadeFileGetsItsVerdict(case example: SafetensorsCase) {
    #expect(verdict(example.bytes) == example.verdict)
  }

  /// Whoever watches a copy grow must see "incomplete" until the last byte and never a wrong file.
  @Test func everyPrefixOfAGoodFileIsIncomplete() {
    let tensors = [
      SafetensorsTensor(name: "b", shape: [3], values: [1, 2, 3]),
      SafetensorsTensor(name: "a", shape: [1], values: [4]),
    ]
    let bytes = safetensorsBytes(tensors: tensors, metadata: [("t2.name", "x")])
    for count in 0..<bytes.count { #expect(verdict(Array(bytes[..<count])) == .incomplete, "\(count) bytes") }
    #expect(verdict(bytes) == .accept)
  }

  @Test func whatIsWrittenReadsBack() throws {
    let values: [Float] = [0, -0.0, 1.5, .leastNonzeroMagnitude, 3e38, -7]
    let bytes = safetensorsBytes(
      tensors: [
        SafetensorsTensor(name: "z", shape: [2, 3], values: values),
        SafetensorsTensor(name: "a.weight", shape: [1], values: [9]),
      ],
      metadata: [("t2.b", "é\n\""), ("t2.a", "")])
    let file = try SafetensorsFile(bytes)
    #expect(file.tensors.map(\.name) == ["a.weight", "z"])
    #expect(try file.floats("z").map(\.bitPattern) == values.map(\.bitPattern))
    #expect(file.tensor("z")?.shape == [2, 3])
    #expect(file.metadata.map(\.key) == ["t2.a", "t2.b"])
    #expect(file.metadata.map(\.value) == ["", "é\n\""])
    let headerLength = Int(bytes[0]) | Int(bytes[1]) << 8
    #expect(headerLength % 8 == 0)
  }

  @Test func theSameContentGivesTheSameBytes() {
    let a = SafetensorsTensor(name: "a", shape: [1], values: [1])
    let b = SafetensorsTensor(name: "b", shape: [1], values: [2])
    #expect(
      safetensorsBytes(tensors: [a, b], metadata: [("x", "1"), ("y", "2")])
        == safetensorsBytes(tensors: [b, a], metadata: [("y", "2"), ("x", "1")]))
  }

  @Test func halvesAreWidenedExactly() throws {
    // 1, -2, 65504 (largest), 2^-24 (smallest subnormal), 2^-14 (smallest normal), -0.
    let halves: [UInt16] = [0x3C00, 0xC000, 0x7BFF, 0x0001, 0x0400, 0x8000]
    let data = halves.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }
    let f16 = safetensors(#"{"t":{"dtype":"F16","shape":[6],"data_offsets":[0,12]}}"#, data)
    let expected: [Float] = [1, -2, 65504, 0x1p-24, 0x1p-14, -0.0]
    #expect(try SafetensorsFile(f16).floats("t").map(\.bitPattern) == expected.map(\.bitPattern))
    let bf16 = safetensors(
      #"{"t":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}"#, [0x80, 0x3F, 0x49, 0xC0])
    #expect(try SafetensorsFile(bf16).floats("t") == [1, -3.140625])
  }

  @Test func everyHalfIsWidenedAsTheCompilerDoes() throws {
    let data = (0..<65536).flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] }
    let bytes = safetensors(#"{"t":{"dtype":"F16","shape":[65536],"data_offsets":[0,131072]}}"#, data)
    let floats = try SafetensorsFile(bytes).floats("t")
    for (bits, value) in floats.enumerated() {
      let expected = Float(Float16(bitPattern: UInt16(bits)))
      if expected.isNaN { #expect(value.isNaN) } else { #expect(value.bitPattern == expected.bitPattern) }
    }
  }

  @Test func otherFormatsAreNamed() {
    for (start, word) in [
      ([0x50, 0x4B, 0x03, 0x04, 0x14, 0, 0, 8], "zip archive"),
      ([0x80, 0x02, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46], "pickle"),
      (Array("GGUF".utf8) + [3, 0, 0, 1], "GGUF"), ([0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A], "HDF5"),
    ] as [([UInt8], String)] {
      let error = #expect(throws: SafetensorsError.self) { try SafetensorsFile(start + [0, 0]) }
      #expect(error?.code == "another_format")
      #expect(error?.description.contains(word) == true)
    }
  }

  @Test func baseModelsMayHaveWhatExpertsMayNot() throws {
    let header =
      #"{"e":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"#
      + #""i":{"dtype":"I64","shape":[1],"data_offsets":[4,12]}}"#
    let bytes = safetensors(header, [UInt8](repeating: 0, count: 12))
    #expect(verdict(bytes) != .accept)
    let file = try SafetensorsFile(bytes, rules: .model)
    #expect(file.tensors.count == 3)
    #expect(try file.floats("s") == [0])
    #expect(throws: SafetensorsError.self) { try file.floats("i") }
  }

  @Test func aFileIsWrittenWholeOrNotAtAll() throws {
    try withTemporaryDirectory { directory in
      let path = directory + "/x.safetensors"
      try writeSafetensors(
        to: path, tensors: [SafetensorsTensor(name: "a", shape: [2], values: [1, 2])], metadata: [("k", "v")])
      #expect(try SafetensorsFile.open(path: path).floats("a") == [1, 2])
      #expect(try FileSystem.entries(directory).compactMap(\.text) == ["x.safetensors"])
      let error = #expect(throws: SafetensorsError.self) {
        try writeSafetensors(to: directory + "/none/x", tensors: [], metadata: [])
      }
      #expect(error?.code == "system")
    }
  }

  @Test func whatIsNotAFileIsNotRead() throws {
    try withTemporaryDirectory { directory in
      let error = #expect(throws: SafetensorsError.self) { try SafetensorsFile.open(path: directory) }
      #expect(error?.description.contains("it is a directory") == true)
      let other = #expect(throws: SafetensorsError.self) { try SafetensorsFile.open(path: directory + "/none") }
      #expect(other?.description.contains("No such file or directory") == true)
    }
  }

  /// A sparse file of some gigabytes is refused by its size or its first bytes, not read.
  @Test func aHugeSparseFileIsRefusedAtOnce() throws {
    try withTemporaryDirectory { directory in
      let path = directory + "/sparse.safetensors"
      try writeFile(path, safetensors("{}", length: 1 << 40))
      try truncateFile(path, to: 5 << 30)
      let error = #expect(throws: SafetensorsError.self) { try SafetensorsFile.open(path: path) }
      #expect(error?.code == "too_large")
      try truncateFile(path, to: 60 << 20)
      let other = #expect(throws: SafetensorsError.self) { try SafetensorsFile.open(path: path) }
      #expect(other?.code == "header_too_long")
    }
  }
}
