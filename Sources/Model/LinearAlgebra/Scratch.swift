/// Working memory of one compute thread: numbered slots that only grow, so that steady work allocates nothing.
///
/// A slot's content is undefined when a tile begins. Not `Sendable`: it is handed to a tile and is the tile's for as
/// long as that runs.
package final class Scratch {
  private var slots: [FloatBuffer?] = []

  package init() {}

  /// At least `count` floats, 64-byte aligned. The pointer is good until the tile ends or asks for the same slot again.
  package func floats(_ slot: Int, count: Int) -> UnsafeMutablePointer<Float> {
    while slots.count <= slot { slots.append(nil) }
    if let buffer = slots[slot], buffer.count >= count { return unsafe buffer.pointer }
    // The old block goes before the new one comes: the two need never exist together.
    slots[slot] = nil
    let buffer = FloatBuffer(count: max(count, 1024))
    slots[slot] = buffer
    return unsafe buffer.pointer
  }

  /// As ``floats(_:count:)``, in double: the same slots, twice the size.
  package func doubles(_ slot: Int, count: Int) -> UnsafeMutablePointer<Double> {
    let floats = unsafe UnsafeMutableRawPointer(floats(slot, count: 2 * count))
    return unsafe floats.assumingMemoryBound(to: Double.self)
  }

  /// Gives slots above `count` floats back to the system, after work on something unusually large.
  package func trim(above count: Int) {
    for index in slots.indices where (slots[index]?.count ?? 0) > count { slots[index] = nil }
  }
}
