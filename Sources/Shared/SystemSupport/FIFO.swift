/// What waits in a line: in at the end, out at the front, both in constant time on average.
///
/// An array alone would move all that is left at each removal. The memory of an element that has left is given back at
/// once, that of its place when half of the places are empty; a line that is emptied again and again allocates nothing.
package struct FIFO<Element> {
  private var places: [Element?] = []
  private var head = 0

  package init() {}

  package var isEmpty: Bool { head == places.count }
  package var count: Int { places.count - head }
  package var first: Element? { isEmpty ? nil : places[head] }

  package mutating func append(_ element: Element) { places.append(element) }

  package mutating func popFirst() -> Element? {
    guard !isEmpty else { return nil }
    let element = places[head].take()
    head += 1
    if isEmpty {
      places.removeAll(keepingCapacity: places.capacity <= 1024)
      head = 0
    } else if head >= 64, head * 2 >= places.count {
      places.removeFirst(head)
      head = 0
    }
    return element
  }
}
