import ResultText

// SVG and HTML as text. What comes from files, models and other users goes through `markup`, attributes do so by
// themselves; content is markup already.

/// An element with its attributes. It is closed in full, since HTML knows no `<p/>`.
package func element(
  _ name: String, _ attributes: KeyValuePairs<String, String> = [:], _ content: String = ""
) -> String {
  let written = attributes.map { " \($0)=\"\(markup($1))\"" }.joined()
  return "<\(name)\(written)>\(content)</\(name)>"
}

/// Text as it stands in an element or between the quotes of an attribute. Characters that XML does not have, and those
/// that turn the writing direction of what follows, are shown as their numbers.
package func markup(_ text: String) -> String {
  var result = ""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "&": result += "&amp;"
    case "<": result += "&lt;"
    case ">": result += "&gt;"
    case "\"": result += "&quot;"
    case "'": result += "&#39;"
    case "\n", "\t": result.unicodeScalars.append(scalar)
    case "\u{0}"..."\u{1f}", "\u{7f}"..."\u{9f}", "\u{200e}", "\u{200f}", "\u{202a}"..."\u{202e}",
      "\u{2066}"..."\u{2069}", "\u{fffe}", "\u{ffff}":
      result += "\\u{\(String(scalar.value, radix: 16))}"
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result
}

/// A coordinate: a tenth of a pixel is as fine as anyone sees.
func place(_ value: Double) -> String {
  let text = fixed(value, 1)
  return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
}
