import Digests
import StrictJSON

/// The JSON of requests, written without a tree of values: prompts have thousands of ids.
struct RequestText {
  private(set) var bytes: [UInt8] = []

  mutating func text(_ text: StaticString) {
    unsafe bytes.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  mutating func list<Element>(_ elements: [Element], _ write: (inout RequestText, Element) -> Void) {
    bytes.append(UInt8(ascii: "["))
    for (index, element) in elements.enumerated() {
      if index > 0 { bytes.append(UInt8(ascii: ",")) }
      write(&self, element)
    }
    bytes.append(UInt8(ascii: "]"))
  }

  mutating func ids(_ ids: [Int32]) { list(ids) { $0.number($1) } }

  mutating func number(_ value: Int32) { bytes += String(value).utf8 }
  mutating func number(_ value: Int) { bytes += String(value).utf8 }
  /// The shortest decimal that reads back as the same number.
  mutating func number(_ value: Float) { bytes += value.description.utf8 }
  mutating func number(_ value: Double) { bytes += value.description.utf8 }

  mutating func digest(_ digest: Digest?) {
    if let digest { bytes += "\"\(digest)\"".utf8 } else { text("null") }
  }

  mutating func string(_ string: String?) {
    if let string { appendJSONString(string, to: &bytes) } else { text("null") }
  }
}
