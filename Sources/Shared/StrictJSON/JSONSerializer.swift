extension JSONValue {
  /// The value as UTF-8 text: one line, or with `pretty` one member a line, indented by two spaces.
  ///
  /// Doubles are the shortest decimal that reads back as the same double. JSON has no word for NaN and the infinities;
  /// they become `null`.
  package func serialized(pretty: Bool = false) -> [UInt8] {
    var output: [UInt8] = []
    append(to: &output, indentation: pretty ? 0 : nil)
    return output
  }

  /// The value in one line.
  package var jsonText: String { String(decoding: serialized(), as: UTF8.self) }

  /// Appends to a buffer that the caller keeps, for answers that are assembled from parts.
  package func append(to output: inout [UInt8]) { append(to: &output, indentation: nil) }

  private func append(to output: inout [UInt8], indentation: Int?) {
    switch self {
    case .null: output += "null".utf8
    case .bool(let value): output += (value ? "true" : "false").utf8
    case .integer(let value): output += String(value).utf8
    case .number(let value): output += (value.isFinite ? value.description : "null").utf8
    case .string(let value): appendJSONString(value, to: &output)
    case .array(let values):
      appendList(UInt8(ascii: "["), UInt8(ascii: "]"), count: values.count, to: &output, indentation: indentation) {
        index, output, inner in
        values[index].append(to: &output, indentation: inner)
      }
    case .object(let object):
      let members = object.storage
      appendList(UInt8(ascii: "{"), UInt8(ascii: "}"), count: members.count, to: &output, indentation: indentation) {
        index, output, inner in
        appendJSONString(members[index].key, to: &output)
        output.append(UInt8(ascii: ":"))
        if inner != nil { output.append(0x20) }
        members[index].value.append(to: &output, indentation: inner)
      }
    }
  }

  private func appendList(
    _ open: UInt8, _ close: UInt8, count: Int, to output: inout [UInt8], indentation: Int?,
    element: (Int, inout [UInt8], Int?) -> Void
  ) {
    output.append(open)
    let inner = indentation.map { $0 + 2 }
    for index in 0..<count {
      if index > 0 { output.append(UInt8(ascii: ",")) }
      appendLineBreak(to: &output, indentation: inner)
      element(index, &output, inner)
    }
    if count > 0 { appendLineBreak(to: &output, indentation: indentation) }
    output.append(close)
  }

  private func appendLineBreak(to output: inout [UInt8], indentation: Int?) {
    guard let indentation else { return }
    output.append(0x0A)
    output += repeatElement(0x20, count: indentation)
  }
}

/// Appends a quoted JSON string. Control characters, DEL among them, become escapes: a line stays a line and a terminal
/// that shows it is not steered.
package func appendJSONString(_ string: String, to output: inout [UInt8]) {
  output.append(UInt8(ascii: "\""))
  // Nearly every string needs no escape, and is copied at once.
  if string.utf8.allSatisfy({ $0 >= 0x20 && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") && $0 != 0x7F }) {
    output += string.utf8
  } else {
    appendEscaped(string, to: &output)
  }
  output.append(UInt8(ascii: "\""))
}

private func appendEscaped(_ string: String, to output: inout [UInt8]) {
  for byte in string.utf8 {
    switch byte {
    case UInt8(ascii: "\""): output += "\\\"".utf8
    case UInt8(ascii: "\\"): output += "\\\\".utf8
    case 0x08: output += "\\b".utf8
    case 0x09: output += "\\t".utf8
    case 0x0A: output += "\\n".utf8
    case 0x0C: output += "\\f".utf8
    case 0x0D: output += "\\r".utf8
    case 0..<0x20, 0x7F:
      output += (byte < 16 ? "\\u000" : "\\u00").utf8
      output += String(byte, radix: 16).utf8
    default: output.append(byte)
    }
  }
}
