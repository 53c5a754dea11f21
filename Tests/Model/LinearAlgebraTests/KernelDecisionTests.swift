import Glibc
import Testing

@testable import LinearAlgebra

@Suite struct KernelDecisionTests {
  @Test(arguments: [
    ("Prescott", VectorLevel.avx512, KernelDecision.raise(to: "SkylakeX")),
    ("Haswell", .avx512, .raise(to: "SkylakeX")),
    ("Zen", .avx512, .raise(to: "SkylakeX")),
    ("SkylakeX", .avx512, .keep),
    ("Cooperlake", .avx512, .keep),
    ("SapphireRapids", .avx512, .keep),
    ("Prescott", .avx2, .raise(to: "Haswell")),
    ("Nehalem", .avx2, .raise(to: "Haswell")),
    ("SandyBridge", .avx2, .raise(to: "Haswell")),
    ("Excavator", .avx2, .raise(to: "Haswell")),
    ("Haswell", .avx2, .keep),
    ("ZEN", .avx2, .keep),
    ("Nehalem", .sse, .keep),
    ("NameOfTheFuture", .avx512, .keep),
  ])
  func aKernelBelowTheProcessorIsRaised(_ row: (running: String, cpu: VectorLevel, expected: KernelDecision)) {
    #expect(KernelDecision.decide(running: row.running, cpu: row.cpu, environment: nil) == row.expected)
  }

  @Test func theUsersChoiceIsRespectedAndReported() {
    #expect(
      KernelDecision.decide(running: "Prescott", cpu: .avx2, environment: "Prescott")
        == .respectUser(deserved: "Haswell"))
    #expect(KernelDecision.decide(running: "Haswell", cpu: .avx2, environment: "Haswell") == .keep)
  }

  @Test func anEmptyValueCountsAsUnset() {
    #expect(KernelDecision.decide(running: "Prescott", cpu: .avx512, environment: "") == .raise(to: "SkylakeX"))
    #expect(KernelDecision.decide(running: "Prescott", cpu: .sse, environment: "") == .chooseAgain)
  }

  @Test func anotherArchitectureIsLeftAlone() {
    #expect(KernelDecision.decide(running: "NEOVERSEN1", cpu: nil, environment: nil) == .keep)
  }

  @Test func thisProcessRunsTheKernelThatTheProcessorDeserves() {
    let report = BLAS.kernel
    #expect(!report.running.isEmpty)
    #expect(!report.tooOld || report.userChoice != nil)
  }

  /// In a process of its own, since no other product may run meanwhile: a library that chose Prescott, as 0.3.21 does on
  /// a processor newer than itself, chooses again, and computes the same.
  @Test(.enabled(if: (BLAS.processorLevel ?? .sse) >= .avx2))
  func aWrongChoiceIsRaisedWithinTheProcess() async {
    await #expect(processExitsWith: .success) {
      BLAS.chooseKernel("Prescott")
      guard BLAS.runningKernel == "Prescott" else {
        exit(BLAS.runningKernel.isEmpty ? 2 : 0)  // A build for one processor: there is nothing to raise.
      }
      let report = BLAS.kernel
      guard report.raised, !report.tooOld, report.running == report.deserved else { exit(3) }
      var sum: Float = 0
      unsafe BLAS.gemv(
        transpose: false, rows: 1, columns: 5, a: [1, 2, 3, 4, 5], lda: 5, x: [1, 1, 1, 1, 1], y: &sum)
      exit(sum == 15 ? 0 : 4)
    }
  }
}
