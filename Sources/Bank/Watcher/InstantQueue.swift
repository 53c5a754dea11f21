import SystemSupport

/// Things with the instants at which they are looked for, the earliest first; of those at one instant in the order in
/// which they were put in. A binary heap: O(log n) for each.
struct InstantQueue<Element: Sendable>: Sendable {
  private struct Item: Sendable {
    var instant: MonotonicInstant
    var number: UInt64
    var element: Element

    func precedes(_ other: Item) -> Bool {
      instant == other.instant ? number < other.number : instant < other.instant
    }
  }

  /// Each precedes those at twice its place plus one and plus two.
  private var heap: [Item] = []
  private var inserted: UInt64 = 0

  var count: Int { heap.count }
  var first: (MonotonicInstant, Element)? { heap.first.map { ($0.instant, $0.element) } }

  mutating func insert(_ instant: MonotonicInstant, _ element: Element) {
    inserted += 1
    heap.append(Item(instant: instant, number: inserted, element: element))
    rise(from: heap.count - 1)
  }

  mutating func removeFirst() {
    guard let last = heap.popLast(), !heap.isEmpty else {
      // Without the memory of what it held once.
      heap = []
      return
    }
    heap[0] = last
    sink(from: 0)
  }

  /// Drops the others.
  mutating func keep(_ isKept: (MonotonicInstant, Element) -> Bool) {
    let kept = heap.filter { isKept($0.instant, $0.element) }
    // What is sorted is a heap.
    heap = kept.sorted { $0.precedes($1) }
  }

  private mutating func rise(from start: Int) {
    var place = start
    while place > 0, heap[place].precedes(heap[(place - 1) / 2]) {
      heap.swapAt(place, (place - 1) / 2)
      place = (place - 1) / 2
    }
  }

  private mutating func sink(from start: Int) {
    var place = start
    while true {
      var least = 2 * place + 1
      guard least < heap.count else { return }
      if least + 1 < heap.count, heap[least + 1].precedes(heap[least]) { least += 1 }
      guard heap[least].precedes(heap[place]) else { return }
      heap.swapAt(place, least)
      place = least
    }
  }
}
