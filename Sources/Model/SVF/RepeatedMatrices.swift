import Digests
import Multipliers
import SystemSupport

/// Which matrices of a computation have the values of another, so that each content is factored once, whichever threads meet
/// it. Nobody waits: whoever factors a content stores it for those who came meanwhile.
final class RepeatedMatrices: Sendable {
  /// A shape and a checksum of the values. An accident of 64 bits is not to be feared, and whoever made one on purpose would
  /// have spoilt a model of their own.
  struct Content: Hashable {
    private let rows: Int
    private let columns: Int
    private let sum: UInt64

    /// - Parameter weight: (rows, columns)
    init(_ target: TargetMatrix, _ weight: UnsafePointer<Float>) {
      (rows, columns) = (target.rows, target.columns)
      let values = unsafe UnsafeBufferPointer(start: weight, count: rows * columns)
      sum = unsafe XXH64.sum(UnsafeRawBufferPointer(values))
    }
  }

  enum Meeting: Equatable {
    /// Nobody has it yet: factor it, and call ``finish(_:as:)``.
    case first
    /// It will be stored for this matrix by whoever is at it.
    case beingFactored
    /// It lies where that matrix lies.
    case factored(Int)
  }

  private enum State {
    case beingFactored(alsoFor: [Int])
    case factored(Int)
  }

  private let states = Mutex<[Content: State]>([:])

  func meet(_ content: Content, as index: Int) -> Meeting {
    states.withLock { states in
      switch states[content] {
      case nil:
        states[content] = .beingFactored(alsoFor: [])
        return .first
      case .beingFactored(let others):
        states[content] = .beingFactored(alsoFor: others + [index])
        return .beingFactored
      case .factored(let earlier): return .factored(earlier)
      }
    }
  }

  /// Says that a content is stored as matrix `index`; returns those that it has to be stored as too.
  func finish(_ content: Content, as index: Int) -> [Int] {
    states.withLock { states in
      guard case .beingFactored(let others)? = states.updateValue(.factored(index), forKey: content) else { return [] }
      return others
    }
  }
}
