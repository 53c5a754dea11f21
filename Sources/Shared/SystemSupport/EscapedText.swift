// Text from outside (file names, messages of clients and files) on its way to a terminal or a log: nothing in it may
// move a cursor, end a line or turn the writing direction.

/// `text` with every character that is not plain printable text as `\n`, `\t`, `\xNN` or `\u{N}`, cut after `limit` characters.
package func escaped(_ text: String, limit: Int = .max) -> String {
  if text.utf8.count <= limit, text.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F && $0 != 0x5C }) { return text }
  var result = ""
  for (index, scalar) in text.unicodeScalars.enumerated() {
    if index == limit {
      result += "…"
      break
    }
    appendEscaped(scalar, to: &result)
  }
  return result
}

/// The same for bytes that may be no UTF-8: every byte of a broken sequence becomes `\xNN`.
package func escaped(bytes: some Collection<UInt8>, limit: Int = .max) -> String {
  var result = ""
  var count = 0
  var rest = Array(bytes)[...]
  while let first = rest.first {
    if count == limit {
      result += "…"
      break
    }
    count += 1
    let length = sequenceLength(first)
    if length > 0, rest.count >= length, let text = String(validating: rest.prefix(length), as: UTF8.self),
      let scalar = text.unicodeScalars.first
    {
      appendEscaped(scalar, to: &result)
      rest = rest.dropFirst(length)
    } else {
      result += hexEscape(first)
      rest = rest.dropFirst()
    }
  }
  return result
}

private func sequenceLength(_ lead: UInt8) -> Int {
  switch lead {
  case 0..<0x80: 1
  case 0xC2..<0xE0: 2
  case 0xE0..<0xF0: 3
  case 0xF0..<0xF5: 4
  default: 0
  }
}

private func appendEscaped(_ scalar: Unicode.Scalar, to result: inout String) {
  switch scalar.properties.generalCategory {
  case .control where scalar == "\n": result += "\\n"
  case .control where scalar == "\t": result += "\\t"
  case .control where scalar.value < 0x80: result += hexEscape(UInt8(truncatingIfNeeded: scalar.value))
  // Format characters hold the marks of writing direction; line and paragraph separators end a line somewhere.
  case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator:
    result += "\\u{\(String(scalar.value, radix: 16))}"
  default:
    if scalar == "\\" { result += "\\\\" } else { result.unicodeScalars.append(scalar) }
  }
}

private func hexEscape(_ byte: UInt8) -> String {
  let digits = String(byte, radix: 16)
  return "\\x" + (digits.utf8.count == 1 ? "0" : "") + digits
}
