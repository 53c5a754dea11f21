/// Finds stop strings in text that comes piece by piece, and holds back what may be the beginning of one.
package struct StopFilter: Sendable {
  private let stops: [[UInt8]]
  /// Text that was not handed out yet.
  private var held: [UInt8] = []
  package private(set) var hasStopped = false

  package init(_ stops: [String]) { self.stops = stops.map { Array($0.utf8) }.filter { !$0.isEmpty } }

  /// Takes a piece; returns what is certain not to belong to a stop string. After a stop string nothing more comes.
  package mutating func push(_ piece: String) -> String {
    guard !hasStopped else { return "" }
    held += piece.utf8
    let found = stops.compactMap { stop in held.firstRange(of: stop)?.lowerBound }.min()
    if let found {
      hasStopped = true
      defer { held = [] }
      return String(decoding: held[..<found], as: UTF8.self)
    }
    // The longest end of the text that begins a stop string stays.
    let open =
      stops.map { stop in
        (0..<min(stop.count, held.count + 1)).last { length in held.suffix(length).elementsEqual(stop.prefix(length)) }
          ?? 0
      }.max() ?? 0
    let free = held.count - open
    defer { held.removeFirst(free) }
    return String(decoding: held[..<free], as: UTF8.self)
  }

  /// What is left at the end of the text.
  package mutating func finish() -> String {
    defer { held = [] }
    return String(decoding: held, as: UTF8.self)
  }
}
