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
}
