/// What stands in a ``SortedChunks``: it knows its own place.
package protocol Placed: Sendable {
  associatedtype Place: Comparable & Sendable
  /// Unique in its collection, and never changed there.
  var place: Place { get }
}

/// Values in the order of their places, as a value type of which old and new versions share nearly everything.
///
/// An array of sorted arrays of at most ``capacity`` values. A change of one value copies the chunk that holds it and the
/// array of chunks, whatever the number of values: so a snapshot of 100,000 experts costs as much after one more as one
/// of 100. A balanced tree would do with less copying and has more to get wrong; a sorted array is copied whole.
///
///     [[a c d] [f g] [k m p]]   setting h copies [f g] and the outer array
package struct SortedChunks<Value: Placed>: Sendable {
  static var capacity: Int { 128 }

  /// None of them is empty.
  private var chunks: [[Value]] = []
  package private(set) var count = 0

  package init() {}

  /// Of values in any order; of those at one place the last counts.
  package init(_ values: some Sequence<Value>) {
    // Rows come in order from the catalogue: then each goes to the end of the last chunk.
    for value in values { set(value) }
  }

  /// The value at a place, in O(log n).
  package subscript(place: Value.Place) -> Value? {
    guard let index = find(place) else { return nil }
    return self[index]
  }

  /// Puts a value at its place, in place of the one that stands there.
  package mutating func set(_ value: Value) {
    let place = value.place
    let number = chunk(of: place)
    guard number < chunks.count else {
      chunks.append([value])
      count += 1
      return
    }
    let offset = Self.lowerBound(place, in: chunks[number])
    if offset < chunks[number].count, chunks[number][offset].place == place {
      chunks[number][offset] = value
      return
    }
    count += 1
    if offset == Self.capacity, number == chunks.count - 1 {
      // Values that come in order leave full chunks behind them, which never grow beyond their capacity.
      chunks.append([value])
      return
    }
    chunks[number].insert(value, at: offset)
    if chunks[number].count > Self.capacity { split(number) }
  }

  /// The value that stood there.
  @discardableResult
  package mutating func remove(_ place: Value.Place) -> Value? {
    guard let index = find(place) else { return nil }
    let value = chunks[index.chunk].remove(at: index.offset)
    if chunks[index.chunk].isEmpty { chunks.remove(at: index.chunk) }
    count -= 1
    return value
  }

  /// What stands at a place and behind it, for the next page of a list.
  package func from(_ place: Value.Place) -> SubSequence { self[lowerBound(place)...] }

  /// What stands behind a place.
  package func after(_ place: Value.Place) -> SubSequence {
    var index = lowerBound(place)
    if index != endIndex, self[index].place == place { formIndex(after: &index) }
    return self[index...]
  }

  // MARK: - Finding

  /// The chunk that holds a place or would: the last one that begins at or before it.
  private func chunk(of place: Value.Place) -> Int {
    var (low, high) = (0, chunks.count)
    while low < high {
      let middle = (low + high) / 2
      if place < chunks[middle][0].place { high = middle } else { low = middle + 1 }
    }
    return low > 0 ? low - 1 : 0
  }

  private static func lowerBound(_ place: Value.Place, in chunk: [Value]) -> Int {
    var (low, high) = (0, chunk.count)
    while low < high {
      let middle = (low + high) / 2
      if chunk[middle].place < place { low = middle + 1 } else { high = middle }
    }
    return low
  }

  private func lowerBound(_ place: Value.Place) -> Index {
    let number = chunk(of: place)
    guard number < chunks.count else { return endIndex }
    let offset = Self.lowerBound(place, in: chunks[number])
    return offset < chunks[number].count ? Index(chunk: number, offset: offset) : Index(chunk: number + 1, offset: 0)
  }

  private func find(_ place: Value.Place) -> Index? {
    let index = lowerBound(place)
    return index != endIndex && self[index].place == place ? index : nil
  }

  /// Into halves: new arrays both, since one that was shortened keeps its memory.
  private mutating func split(_ number: Int) {
    let (chunk, half) = (chunks[number], chunks[number].count / 2)
    chunks.replaceSubrange(number...number, with: [Array(chunk[..<half]), Array(chunk[half...])])
  }
}

extension SortedChunks: BidirectionalCollection {
  package struct Index: Comparable, Sendable {
    fileprivate var chunk: Int
    fileprivate var offset: Int

    package static func < (a: Index, b: Index) -> Bool { (a.chunk, a.offset) < (b.chunk, b.offset) }
  }

  package var startIndex: Index { Index(chunk: 0, offset: 0) }
  package var endIndex: Index { Index(chunk: chunks.count, offset: 0) }
  package subscript(index: Index) -> Value { chunks[index.chunk][index.offset] }

  package func index(after index: Index) -> Index {
    index.offset + 1 < chunks[index.chunk].count
      ? Index(chunk: index.chunk, offset: index.offset + 1) : Index(chunk: index.chunk + 1, offset: 0)
  }

  package func index(before index: Index) -> Index {
    index.offset > 0
      ? Index(chunk: index.chunk, offset: index.offset - 1)
      : Index(chunk: index.chunk - 1, offset: chunks[index.chunk - 1].count - 1)
  }
}

extension SortedChunks: Equatable where Value: Equatable {
  package static func == (a: Self, b: Self) -> Bool { a.count == b.count && a.elementsEqual(b) }
}

extension SortedChunks: ExpressibleByArrayLiteral {
  package init(arrayLiteral values: Value...) { self.init(values) }
}
