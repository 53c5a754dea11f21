import Testing

@testable import FileKinds

struct FileKindTests {
  struct Sample: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let bytes: [UInt8]
    let kind: FileKind?

    init(_ name: String, _ bytes: [UInt8], _ kind: FileKind?) {
      (testDescription, self.bytes, self.kind) = (name, bytes, kind)
    }

    init(_ name: String, _ text: String, _ kind: FileKind?) { self.init(name, Array(text.utf8), kind) }
  }

  private static func utf16(_ text: String, isLittle: Bool) -> [UInt8] {
    text.utf16.flatMap { isLittle ? [UInt8($0 & 0xFF), UInt8($0 >> 8)] : [UInt8($0 >> 8), UInt8($0 & 0xFF)] }
  }

  private static func zip(_ entry: String) -> [UInt8] {
    [0x50, 0x4B, 3, 4] + [UInt8](repeating: 0, count: 22) + [UInt8(entry.utf8.count), 0, 0, 0] + Array(entry.utf8)
  }

  private static let samples = [
    Sample(
      "an LFS pointer",
      "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 538090408\n",
      .gitLFSPointer(size: 538_090_408)),
    Sample("one without size", "version https://git-lfs.github.com/spec/v1\r\n", .gitLFSPointer(size: nil)),
    Sample("a page", "<!DOCTYPE html>\n<html><head><title>Sign\n in</title>", .webPage(title: "Sign in")),
    Sample("a page behind a BOM", "\u{FEFF}\n<HTML><body>x", .webPage(title: nil)),
    Sample("a missing file", "Entry not found", .serverMessage("Entry not found")),
    Sample(
      "a store's error", "<?xml version=\"1.0\"?><Error><Code>AccessDenied",
      .serverMessage("<?xml version=\"1.0\"?><Error><Code>AccessDenied")),
    Sample("gzip", [0x1F, 0x8B, 8, 0, 0], .archive(.gzip)),
    Sample("zip", zip("rows.jsonl"), .archive(.zip)),
    Sample("tar", [UInt8](repeating: 0x61, count: 257) + Array("ustar\0".utf8), .archive(.tar)),
    Sample("torch.save", zip("archive/data.pkl"), .weights(.torch)),
    Sample("a spreadsheet", zip("[Content_Types].xml"), .table(.excel)),
    Sample("npz", zip("q_proj.npy"), .table(.numpy)),
    Sample("Parquet", "PAR1\u{15}\u{4}", .table(.parquet)),
    Sample("Arrow", "ARROW1\0\0", .table(.arrow)),
    Sample("Arrow's stream", [0xFF, 0xFF, 0xFF, 0xFF, 0x70, 4, 0, 0, 0x10], .table(.arrow)),
    Sample("a number", [UInt8](repeating: 0xFF, count: 8), nil),
    Sample("GGUF", "GGUF\u{3}\0\0\0", .weights(.gguf)),
    Sample("ONNX", [0x08, 8, 0x12, 7] + Array("pytorch".utf8) + [0x1A, 5], .weights(.onnx)),
    Sample("TensorFlow Lite", [0x1C, 0, 0, 0] + Array("TFL3".utf8) + [0, 0], .weights(.tensorFlowLite)),
    Sample("a pickle", [0x80, 2, 0x7D, 0x71], .weights(.pickle)),
    Sample("safetensors", [8, 0, 0, 0, 0, 0, 0, 0] + Array("{\"a\":{}}".utf8), .weights(.safetensors)),
    Sample(
      "safetensors with a header as long as a pickle begins", [0x80, 2, 0, 0, 0, 0, 0, 0] + Array("{\"a\":{}}".utf8),
      .weights(.safetensors)),
    Sample("UTF-16 with a mark", [0xFF, 0xFE] + utf16("{\"a\": 1}", isLittle: true), .text(encoding: "UTF-16LE")),
    Sample("UTF-16 without", utf16("{\"question\"", isLittle: true), .text(encoding: "UTF-16LE")),
    Sample("the other end first", utf16("{\"question\"", isLittle: false), .text(encoding: "UTF-16BE")),
    Sample("nothing", [], .empty),
    Sample("zeros", [UInt8](repeating: 0, count: 4096), .zeros),
    Sample("rows", #"{"question": "Not found where?", "answer": "here"}"#, nil),
    Sample("rows behind a BOM", "\u{FEFF}{\"question\": 1}", nil),
    Sample("a table of text", "question,answer\nWhat?,that\n", nil),
    Sample("a word", "honey", nil),
  ]

  @Test(arguments: samples) func isToldByItsFirstBytes(_ sample: Sample) {
    #expect(FileKind(beginning: sample.bytes) == sample.kind)
  }

  @Test func whatAPageSaysCannotUpsetATerminal() throws {
    let kind = try #require(FileKind(beginning: Array("<html><title>a\u{1B}[31mb\u{202E}c</title>".utf8)))
    #expect(kind.name == "a web page, with the title 'a\u{FFFD}[31mb\u{FFFD}c'")
    let long = try #require(
      FileKind(beginning: Array("<html><title>\(String(repeating: "x", count: 900))</title>".utf8)))
    #expect(long.name.utf8.count < 130)
  }

  @Test func whatIsToBeDoneIsSaid() throws {
    #expect(
      FileKind.gitLFSPointer(size: 7).description
        == "a Git LFS pointer, not the file of 7 bytes that it stands for; run 'git lfs pull' where it was cloned")
    #expect(FileKind.archive(.gzip).description == "a gzip archive; unpack it first: gunzip")
    #expect(FileKind.table(.parquet).description == "a Parquet table")
  }
}
