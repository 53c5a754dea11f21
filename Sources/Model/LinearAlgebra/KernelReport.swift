/// Which of OpenBLAS's kernels runs in this process, and which one the processor deserves.
///
/// OpenBLAS chooses its kernel by CPU model when it is loaded, and takes models newer than itself for old ones: 0.3.21
/// (Debian 12) runs SSE kernels on Sapphire Rapids, ten times slower than need be. See ``BLAS/kernel``.
package struct KernelReport: Sendable, Equatable {
  /// OpenBLAS's own name for the kernel in use, such as "Zen" or "SkylakeX".
  package var running: String
  /// The least kernel that uses what the processor has, by its flags; nil where OpenBLAS's own choice stands.
  package var deserved: String?
  /// True where the library chose less and was made to choose again.
  package var raised: Bool
  /// True where a kernel below the deserved one runs all the same: the user asked for it, or it could not be raised.
  package var tooOld: Bool
  /// The user's own OPENBLAS_CORETYPE, if one is set; it is respected.
  package var userChoice: String?

  package init(running: String, deserved: String?, raised: Bool, tooOld: Bool, userChoice: String?) {
    self.running = running
    self.deserved = deserved
    self.raised = raised
    self.tooOld = tooOld
    self.userChoice = userChoice
  }
}

/// The vector instructions that matter for the choice of a kernel, in rising order.
package enum VectorLevel: Int, Sendable, Comparable {
  case sse
  /// AVX without AVX2 or without FMA.
  case avx
  case avx2
  /// AVX-512 F, BW, VL and DQ.
  case avx512

  package static func < (a: VectorLevel, b: VectorLevel) -> Bool { a.rawValue < b.rawValue }

  /// The level that a kernel of OpenBLAS is written for; nil for a name that is newer than this table, which is then
  /// taken to be right: only a known wrong choice is worth overruling.
  package init?(kernel: String) {
    switch kernel.lowercased() {
    case "prescott", "core2", "penryn", "dunnington", "atom", "nano", "nehalem", "katmai", "coppermine", "northwood",
      "banias", "athlon", "opteron", "opteron_sse3", "barcelona", "bobcat", "generic", "core":
      self = .sse
    case "sandybridge", "bulldozer", "piledriver", "steamroller", "excavator":
      // AMD's four have FMA in one form or another, but 128-bit units: below Haswell's kernels where AVX2 is there.
      self = .avx
    case "haswell", "zen":
      self = .avx2
    case "skylakex", "cooperlake", "sapphirerapids":
      self = .avx512
    default:
      return nil
    }
  }

  /// The name to ask OpenBLAS for; nil below AVX2, where its own choice stands.
  package var deservedKernel: String? {
    switch self {
    case .sse, .avx: nil
    case .avx2: "Haswell"
    case .avx512: "SkylakeX"
    }
  }
}

/// What to do about the kernel that OpenBLAS chose: a pure function, since no test can change the processor.
package enum KernelDecision: Sendable, Equatable {
  case keep
  /// The variable is set but empty: OpenBLAS took "" for an unknown name and fell back, so unset it and choose again.
  case chooseAgain
  /// Set OPENBLAS_CORETYPE to this name and choose again.
  case raise(to: String)
  /// Below what the processor deserves, but the user's own choice.
  case respectUser(deserved: String)

  /// - Parameters:
  ///   - running: the name of the kernel that OpenBLAS chose.
  ///   - cpu: what the processor's flags allow; nil on an architecture without this table.
  ///   - environment: the value of OPENBLAS_CORETYPE when the process started, nil where unset.
  package static func decide(running: String, cpu: VectorLevel?, environment: String?) -> KernelDecision {
    guard let cpu, let deserved = cpu.deservedKernel else { return environment == "" ? .chooseAgain : .keep }
    let tooOld = VectorLevel(kernel: running).map { $0 < cpu } ?? false
    guard tooOld else { return .keep }
    if let environment, !environment.isEmpty { return .respectUser(deserved: deserved) }
    return .raise(to: deserved)
  }
}
