/// A name as a place: names are the same where their bytes are, and stand in the order of their bytes, as SQLite sorts
/// them.
package struct Name: Comparable, Hashable, Sendable {
  package let text: String

  package init(_ text: String) { self.text = text }

  package static func == (a: Name, b: Name) -> Bool { sameName(a.text, b.text) }
  package static func < (a: Name, b: Name) -> Bool { precedes(a.text, b.text) }
  package func hash(into hasher: inout Hasher) { hashName(text, into: &hasher) }
}

extension Name: Placed {
  package var place: Name { self }
}

/// Names are the same where their bytes are; Swift's `==` takes a K for a Kelvin sign.
package func sameName(_ a: String, _ b: String) -> Bool { a.utf8.elementsEqual(b.utf8) }

/// In the order of their bytes.
func precedes(_ a: String, _ b: String) -> Bool { a.utf8.lexicographicallyPrecedes(b.utf8) }

/// To go with `sameName`.
func hashName(_ name: String, into hasher: inout Hasher) {
  var name = name
  name.withUTF8 { unsafe hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
  hasher.combine(UInt8(0xFF))
}
