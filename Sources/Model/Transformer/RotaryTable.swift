internal import Glibc
internal import LinearAlgebra
internal import ModelFormats
internal import SystemSupport

/// The angles of a rotation for the positions of the context, computed in float as PyTorch does, when the first pass
/// reaches them.
///
/// `@unchecked Sendable` by `filled`: rows are written below its lock, once, and read by passes that have called
/// ``reserve(_:)`` for them.
final class RotaryTable: @unchecked Sendable {
  private let buffer: FloatBuffer  // (context, 2, half): cosines, then sines
  private let context: Int
  private let half: Int
  private let frequencies: [Float]
  private let filled = Mutex(0)
  /// Positions that are made at a time.
  private static let step = 512

  init(_ rotation: Rotation, headDimension: Int, context: Int) {
    half = headDimension / 2
    self.context = context
    buffer = FloatBuffer(count: context * 2 * half)
    frequencies = rotation.frequencies(headDimension: headDimension)
  }

  /// Makes the angles of all positions below `count`.
  func reserve(_ count: Int) {
    filled.withLock { filled in
      guard filled < count else { return }
      let end = min(context, (count + Self.step - 1) / Self.step * Self.step)
      for position in filled..<end {
        let row = unsafe buffer.pointer + position * 2 * half
        for (i, frequency) in frequencies.enumerated() {
          let angle = Double(Float(position) * frequency)
          unsafe row[i] = Float(cos(angle))
          unsafe row[half + i] = Float(sin(angle))
        }
      }
      filled = end
    }
  }

  /// Cosines and sines of a position, (half) each.
  func angles(at position: Int) -> Angles {
    let row = unsafe UnsafePointer(buffer.pointer + position * 2 * half)
    return unsafe Angles(cosines: row, sines: row + half)
  }
}

/// Of one position, (half) each; good while their table lives.
@safe struct Angles {
  let cosines: UnsafePointer<Float>
  let sines: UnsafePointer<Float>
}

extension Rotation {
  /// By channel of half a head, in radians a position.
  func frequencies(headDimension: Int) -> [Float] {
    let plain = (0..<headDimension / 2).map {
      Float(1) / Float(pow(theta, Double(2 * $0) / Double(headDimension)))
    }
    switch scaling {
    case .none: return plain
    case .linear(let factor): return plain.map { $0 / Float(factor) }
    case .divided(let divisors): return zip(plain, divisors).map { $0 / $1 }
    case .llama3(let factor, let lowFrequency, let highFrequency, let originalContext):
      let (factor, low, high) = (Float(factor), Float(lowFrequency), Float(highFrequency))
      let context = Float(originalContext)
      return plain.map { frequency in
        let wavelength = 2 * Float.pi / frequency
        if wavelength > context / low { return frequency / factor }
        if wavelength < context / high { return frequency }
        let share = (context / wavelength - low) / (high - low)
        return (1 - share) * frequency / factor + share * frequency
      }
    }
  }
}
