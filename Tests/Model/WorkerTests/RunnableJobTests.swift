import Results
import Testing
import WorkerProtocol

@testable import Worker

@Suite struct RunnableJobTests {
  @Test func everyKindOfJobHasABody() {
    for spec in JobKind.specs { #expect(spec is any RunnableJob.Type, "\(spec.kind) has no RunnableJob") }
  }
}
