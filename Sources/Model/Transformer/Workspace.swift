internal import LinearAlgebra
internal import SystemSupport

/// The memory that a forward pass works in, for up to `capacity` rows. Names as in ``ForwardPass``.
final class Workspace: Sendable {
  let capacity: Int
  let normed: FloatBuffer  // (rows, hidden)
  let queries: FloatBuffer  // (key head, row, head of the group, component)
  let keys: FloatBuffer  // (key head, row, component)
  let values: FloatBuffer  // (key head, row, component)
  let attended: FloatBuffer  // (rows, heads x components)
  let gate: FloatBuffer  // (rows, intermediate)
  let up: FloatBuffer  // (rows, intermediate)
  let factors: FloatBuffer  // (rows, widest factored intermediate): components
  let between: FloatBuffer  // likewise: W x, or inputs of W, before it has all
  let branch: FloatBuffer  // (rows, hidden): what is normed before it is added to the stream

  init(shape: ModelShape, capacity: Int) {
    self.capacity = capacity
    normed = FloatBuffer(count: capacity * shape.hidden)
    queries = FloatBuffer(count: capacity * shape.queryWidth)
    keys = FloatBuffer(count: capacity * shape.keyWidth)
    values = FloatBuffer(count: capacity * shape.keyWidth)
    attended = FloatBuffer(count: capacity * shape.queryWidth)
    gate = FloatBuffer(count: capacity * shape.intermediate)
    up = FloatBuffer(count: capacity * shape.intermediate)
    // Mapped lazily: costs nothing where no row is factored.
    factors = FloatBuffer(count: capacity * shape.widestFactors)
    between = FloatBuffer(count: capacity * shape.widestFactors)
    // Mapped lazily as well: most models have no use for it.
    branch = FloatBuffer(count: capacity * shape.hidden)
  }

  /// Of one that has been used for all that it is for.
  static func byteCount(shape: ModelShape, capacity: Int) -> Int {
    let columns =
      2 * shape.hidden + 2 * shape.queryWidth + 2 * shape.keyWidth + 2 * shape.intermediate + 2 * shape.widestFactors
    return capacity * columns * MemoryLayout<Float>.stride
  }

  var byteCount: Int {
    [normed, queries, keys, values, attended, gate, up, factors, between, branch]
      .reduce(0) { $0 + $1.count * MemoryLayout<Float>.stride }
  }
}

/// Workspaces that wait for their next use, so that steady work maps no memory.
final class WorkspacePool: Sendable {
  private let shape: ModelShape
  private let idle = Mutex<[Workspace]>([])
  /// Kept at most; more are let go.
  private static let limit = 4

  init(shape: ModelShape) { self.shape = shape }

  /// A workspace for at least `rows` rows: the smallest idle one that fits, or a new one.
  func take(rows: Int) -> Workspace {
    let found: Workspace? = idle.withLock { idle in
      let fitting = idle.indices.filter { idle[$0].capacity >= rows }.min { idle[$0].capacity < idle[$1].capacity }
      return fitting.map { idle.remove(at: $0) }
    }
    return found ?? Workspace(shape: shape, capacity: (rows + 15) / 16 * 16)
  }

  /// Gives back. The largest are kept.
  func give(_ workspace: Workspace) {
    idle.withLock { idle in
      idle.append(workspace)
      if idle.count > Self.limit, let smallest = idle.indices.min(by: { idle[$0].capacity < idle[$1].capacity }) {
        idle.remove(at: smallest)
      }
    }
  }
}
