import Testing

/// What the reader should do with a file.
enum Verdict: Equatable, CustomStringConvertible {
  case accept
  case incomplete
  /// By `SafetensorsError.code`.
  case reject(String)

  var description: String {
    switch self {
    case .accept: "accept"
    case .incomplete: "incomplete"
    case .reject(let code): "reject(\(code))"
    }
  }
}

struct SafetensorsCase: CustomTestStringConvertible, Sendable {
  let name: String
  let bytes: [UInt8]
  let verdict: Verdict
  var testDescription: String { name }
}

/// The bytes of a file: the length (or a false one), the header, the data.
func safetensors(_ header: [UInt8], _ data: [UInt8] = [], length: UInt64? = nil) -> [UInt8] {
  let announced = length ?? UInt64(header.count)
  return (0..<8).map { UInt8(truncatingIfNeeded: announced >> (8 * UInt64($0))) } + header + data
}

func safetensors(_ header: String, _ data: [UInt8] = [], length: UInt64? = nil) -> [UInt8] {
  safetensors(Array(header.utf8), data, length: length)
}

/// Hand-made good and bad files. The verdicts are stricter than the reference's (0.8.0) where a lenient reader would let
/// two readers see different files.
let safetensorsCases: [SafetensorsCase] = {
  let info = #"{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}"#
  let data = [UInt8](repeating: 0, count: 16)
  func one(_ info: String) -> String { #"{"t":\#(info)}"# }
  func f32(_ shape: String, _ begin: String, _ end: String) -> String {
    one(#"{"dtype":"F32","shape":\#(shape),"data_offsets":[\#(begin),\#(end)]}"#)
  }
  func zeros(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }
  let minimal = Array(one(info).utf8)
  let many = (0..<1000).map { #""t\#($0)":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}"# }.joined(separator: ",")
  let deep = String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000)

  var cases: [SafetensorsCase] = []
  func add(_ name: String, _ bytes: [UInt8], _ verdict: Verdict) {
    cases.append(SafetensorsCase(name: name, bytes: bytes, verdict: verdict))
  }
  let badHeader = Verdict.reject("bad_header")

  add("minimal", safetensors(minimal, data), .accept)
  add("empty file", [], .incomplete)
  add("7 bytes", zeros(7), .incomplete)
  add("8 bytes, length 0", zeros(8), .incomplete)
  add("length 2^63", safetensors(minimal, data, length: 1 << 63), .reject("header_too_long"))
  add("length 2^64-1", safetensors(minimal, data, length: .max), .reject("header_too_long"))
  add("length 100000001", safetensors(minimal, data, length: 100_000_001), .reject("header_too_long"))
  add("length one more than the file", safetensors(minimal, length: UInt64(minimal.count) + 1), .incomplete)
  add("header not UTF-8", safetensors([0x7B, 0x22, 0xFF, 0x22, 0x3A] + Array(info.utf8) + [0x7D], data), badHeader)
  add("header { only", safetensors("{"), badHeader)
  add("header []", safetensors("[]"), badHeader)
  add("header null", safetensors("null"), badHeader)
  add("empty object, no data", safetensors("{}"), .reject("no_tensors"))
  add("trailing bytes (polyglot)", safetensors(minimal, data + [0x78]), .reject("trailing_bytes"))
  add("data 1 byte short", safetensors(minimal, zeros(15)), .incomplete)
  add("trailing spaces in the header", safetensors(one(info) + "   ", data), .accept)
  add("trailing NULs in the header", safetensors(minimal + zeros(3), data), badHeader)
  add("leading spaces in the header", safetensors("  " + one(info), data), .accept)
  add("UTF-8 BOM", safetensors([0xEF, 0xBB, 0xBF] + minimal, data), badHeader)
  add("garbage after the JSON in the header", safetensors(one(info) + "}", data), badHeader)
  add("duplicate key, same info", safetensors(#"{"t":\#(info),"t":\#(info)}"#, data), .reject("duplicate_key"))
  add(
    "duplicate key, different offsets",
    safetensors(
      #"{"t":\#(info),"t":{"dtype":"F32","shape":[2,2],"data_offsets":[16,32]}}"#, data + data),
    .reject("duplicate_key"))
  add(
    "duplicate __metadata__",
    safetensors(#"{"__metadata__":{"a":"1"},"__metadata__":{"a":"2"},"t":\#(info)}"#, data), .reject("duplicate_key"))
  add(
    "duplicate inside __metadata__",
    safetensors(#"{"__metadata__":{"a":"1","a":"2"},"t":\#(info)}"#, data), .reject("duplicate_key"))
  add(
    "duplicate field dtype",
    safetensors(one(#"{"dtype":"F32","dtype":"F32","shape":[2,2],"data_offsets":[0,16]}"#), data),
    .reject("duplicate_key"))
  add("duplicate by escape", safetensors(#"{"t":\#(info),"\u0074":\#(info)}"#, data), .reject("duplicate_key"))
  add(
    "unknown field in a tensor",
    safetensors(one(#"{"dtype":"F32","shape":[2,2],"data_offsets":[0,16],"x":1}"#), data), .reject("bad_field"))
  add("missing dtype", safetensors(one(#"{"shape":[2,2],"data_offsets":[0,16]}"#), data), .reject("bad_field"))
  for (name, type) in [("unknown dtype", "Q4"), ("lower-case dtype", "f32")] {
    add(
      name, safetensors(one(#"{"dtype":"\#(type)","shape":[2,2],"data_offsets":[0,16]}"#), data),
      .reject("unsupported_type"))
  }
  add("negative dimension", safetensors(f32("[-2,2]", "0", "16"), data), .reject("bad_shape"))
  add("dimension 2.0", safetensors(f32("[2.0,2]", "0", "16"), data), .reject("bad_shape"))
  add("dimension 1e1", safetensors(f32("[1e1]", "0", "40"), zeros(40)), .reject("bad_shape"))
  add("dimension as a string", safetensors(f32(#"["2",2]"#, "0", "16"), data), .reject("bad_shape"))
  add("leading zero 02", safetensors(f32("[02,2]", "0", "16"), data), badHeader)
  add("shape product overflows", safetensors(f32("[2,18446744073709551614]", "0", "16"), data), badHeader)
  add("product times 4 overflows", safetensors(f32("[2,9223372036854775807]", "0", "16"), data), .reject("bad_shape"))
  add("2^32 x 2^32", safetensors(f32("[4294967296,4294967296]", "0", "0")), .reject("bad_shape"))
  add("huge times 0", safetensors(f32("[18446744073709551615,18446744073709551615,0]", "0", "0")), badHeader)
  add("zero-size tensor", safetensors(f32("[2,0]", "0", "0")), .reject("bad_shape"))
  add("scalar", safetensors(f32("[]", "0", "4"), zeros(4)), .accept)
  add(
    "shape size is not that of the offsets", safetensors(f32("[2,2]", "0", "12"), zeros(12)), .reject("size_mismatch"))
  add("begin > end", safetensors(f32("[2,2]", "16", "0"), data), .reject("bad_offsets"))
  add("hole at the start", safetensors(f32("[2,2]", "4", "20"), zeros(20)), .reject("gap"))
  add("3 offsets", safetensors(f32("[2,2]", "0", "16,16"), data), .reject("bad_offsets"))
  add("negative offset", safetensors(f32("[2,2]", "-16", "0"), data), .reject("bad_offsets"))
  add("offset 2^64", safetensors(f32("[2,2]", "0", "18446744073709551616"), data), badHeader)
  add("overlap", safetensors(#"{"a":\#(info),"b":\#(info)}"#, data), .reject("overlap"))
  add(
    "hole between",
    safetensors(#"{"a":\#(info),"b":{"dtype":"F32","shape":[2,2],"data_offsets":[20,36]}}"#, zeros(36)), .reject("gap"))
  add(
    "offsets not in the order of names",
    safetensors(#"{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[16,32]},"b":\#(info)}"#, data + data), .accept)
  for (name, metadata) in [("a number", #"{"a":1}"#), ("null", "null"), ("nested", #"{"a":{}}"#)] {
    add(
      "__metadata__ \(name)", safetensors(#"{"__metadata__":\#(metadata),"t":\#(info)}"#, data), .reject("bad_metadata")
    )
  }
  for (name, key) in [("empty", ""), ("with NUL", #"a\u0000b"#), ("../../etc/passwd", "../../etc/passwd")] {
    add("name \(name)", safetensors(#"{"\#(key)":\#(info)}"#, data), .reject("bad_name"))
  }
  add("lone surrogate in a name", safetensors(#"{"\ud800":\#(info)}"#, data), badHeader)
  add("100,000 levels in __metadata__", safetensors(#"{"__metadata__":\#(deep)}"#), badHeader)
  add("comment", safetensors(#"{/*x*/"t":\#(info)}"#, data), badHeader)
  add("trailing comma", safetensors(#"{"t":\#(info),}"#, data), badHeader)
  add("NaN literal", safetensors(#"{"t":\#(info),"u":NaN}"#, data), badHeader)
  add("1000 zero-size tensors", safetensors("{\(many)}"), .reject("bad_shape"))
  let padding = String(repeating: " ", count: (11 - minimal.count % 8) % 8)
  add("data begins unaligned", safetensors(one(info) + padding, data), .accept)
  // The format allows it; what reads an expert refuses it.
  add("data all NaN", safetensors(minimal, [UInt8](repeating: 0xFF, count: 16)), .accept)
  add(
    "F4 odd count", safetensors(one(#"{"dtype":"F4","shape":[1,3],"data_offsets":[0,2]}"#), zeros(2)),
    .reject("unsupported_type"))
  add("BF16", safetensors(one(#"{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}"#), zeros(4)), .accept)
  return cases
}()
