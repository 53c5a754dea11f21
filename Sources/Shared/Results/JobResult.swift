/// What a kind of job is called, on the wire, in the catalogue and to clients.
package struct JobKind: Hashable, Sendable, CustomStringConvertible {
  package let name: String

  package init(_ name: String) { self.name = name }

  package var description: String { name }
}

/// What a job of a kind comes to, as `job.show` gives it; the kind's name stands here, once.
package protocol JobResult: Codable, Sendable, Equatable {
  static var kind: JobKind { get }
}

extension Mixture: JobResult { package static var kind: JobKind { JobKind("adapt") } }
extension CheckResult: JobResult { package static var kind: JobKind { JobKind("check") } }
extension EvaluateResult: JobResult { package static var kind: JobKind { JobKind("evaluate") } }
extension CompareResult: JobResult { package static var kind: JobKind { JobKind("compare") } }
extension SweepResult: JobResult { package static var kind: JobKind { JobKind("sweep") } }
extension DispatchEvaluateResult: JobResult { package static var kind: JobKind { JobKind("dispatch") } }
extension TrainResult: JobResult { package static var kind: JobKind { JobKind("train") } }
