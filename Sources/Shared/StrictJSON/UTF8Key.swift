/// A string whose identity is its UTF-8 bytes.
///
/// `String`'s own `==` and `<` follow canonical equivalence: "é" precomposed equals "é" decomposed. Names in files are
/// compared by bytes, as every other reader of those files does; otherwise two readers disagree about what is a duplicate.
package struct UTF8Key: Sendable, Hashable, Comparable {
  package let string: String

  package init(_ string: String) { self.string = string }

  package static func == (left: UTF8Key, right: UTF8Key) -> Bool {
    // `==` first: it is quick, and strings that differ under it differ in their bytes.
    left.string.utf8.count == right.string.utf8.count && left.string == right.string
      && left.string.utf8.elementsEqual(right.string.utf8)
  }

  package static func < (left: UTF8Key, right: UTF8Key) -> Bool {
    left.string.utf8.lexicographicallyPrecedes(right.string.utf8)
  }

  package func hash(into hasher: inout Hasher) {
    let hashed: Void? = unsafe string.utf8.withContiguousStorageIfAvailable { bytes in
      unsafe hasher.combine(bytes: UnsafeRawBufferPointer(bytes))
    }
    // A string without contiguous UTF-8 must hash as its contiguous equal does: copy it first.
    if hashed == nil {
      unsafe Array(string.utf8).withUnsafeBytes { bytes in unsafe hasher.combine(bytes: bytes) }
    }
  }
}
