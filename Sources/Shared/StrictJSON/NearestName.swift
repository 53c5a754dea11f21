/// The known name that a mistyped one most likely meant, for "did you mean"; nil where none is near.
///
/// Distance counts inserted, removed, replaced and swapped neighbouring characters, case aside. Near is at most a third
/// of the longer name.
package func nearestName(to name: String, among known: some Sequence<String>) -> String? {
  let wanted = folded(name)
  var best: (distance: Int, name: String)?
  for candidate in known {
    let other = folded(candidate)
    let allowed = max(1, max(wanted.count, other.count) / 3)
    // Names of this kind are short; a long one is not worth a quadratic comparison.
    guard wanted.count <= 64, other.count <= 64, abs(wanted.count - other.count) <= allowed else { continue }
    let distance = editDistance(wanted, other)
    if distance <= allowed, distance < best?.distance ?? .max { best = (distance, candidate) }
  }
  return best?.name
}

private func folded(_ name: String) -> [UInt8] {
  name.utf8.map { byte in
    switch byte {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): byte | 0x20
    case UInt8(ascii: "-"): UInt8(ascii: "_")
    default: byte
    }
  }
}

/// Optimal string alignment: Levenshtein with swaps of neighbours.
private func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
  var beforePrevious: [Int] = []
  var previous = Array(0...b.count)
  for i in a.indices {
    var current = [i + 1]
    for j in b.indices {
      var distance = min(previous[j] + (a[i] == b[j] ? 0 : 1), previous[j + 1] + 1, current[j] + 1)
      if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { distance = min(distance, beforePrevious[j - 1] + 1) }
      current.append(distance)
    }
    beforePrevious = previous
    previous = current
  }
  return previous[b.count]
}
