/// How fast a job goes, and so how long it will still take. No clock: tested with invented times.
///
/// A job that goes on after an interruption reads what its journal has in no time, so the pace is taken from the first
/// thing on that it did itself.
struct Pace {
  private var hasWorked: Bool
  private var start: (share: Double, seconds: Double)?

  /// - Parameter hasWorked: whether all that it is told of is done here.
  init(hasWorked: Bool = false) { self.hasWorked = hasWorked }

  /// Something was done, and not merely found in the journal.
  mutating func worked() { hasWorked = true }

  /// The seconds that are left when this share of all is done at this time; nil while that cannot be told.
  mutating func left(at share: Double, _ seconds: Double) -> Double? {
    guard hasWorked else { return nil }
    guard let start else {
      self.start = (share, seconds)
      return nil
    }
    guard share > start.share + 0.01 else { return nil }
    return (seconds - start.seconds) * (1 - share) / (share - start.share)
  }
}

/// The share of a job that is done when so much of one of its parts is, all of them being as long.
func share(_ done: Int, of count: Int, inPart part: Int = 0, of parts: Int = 1) -> Double {
  (Double(part) + Double(done) / Double(count)) / Double(parts)
}
