internal import CKernels
package import Multipliers

/// How the entries of Q are kept, on disk and in memory. They are below 1, so a half is within 2.4e-4 of an entry, and
/// weighs only as much as multipliers differ from 1.
package enum FactorPrecision: String, Sendable, CaseIterable {
  case single
  case half

  /// Bytes of an entry.
  package var size: Int {
    switch self {
    case .single: MemoryLayout<Float>.size
    case .half: MemoryLayout<Float16>.size
    }
  }

  /// Bytes of all Q of a layout beyond which they are kept in halves where nothing else is asked for.
  package static let singleLimit = 2_000_000_000

  /// Of a model for which no other is asked for: by its shapes alone, so that every process finds the file of another.
  package static func standard(for layout: MultiplierLayout) -> FactorPrecision {
    let entries = layout.matrices.reduce(0.0) { $0 + Double($1.rank) * Double($1.rank) }
    return entries * Double(FactorPrecision.single.size) <= Double(singleLimit) ? .single : .half
  }
}

/// Halves to floats, for the vector unit of this processor.
func widenHalves(_ source: UnsafeRawPointer, count: Int, into target: UnsafeMutablePointer<Float>) {
  unsafe t2_widen(vectorUnit, T2_F16, 1, count, source, 0, target, 0)
}

private let vectorUnit = t2_best_vector_unit()
