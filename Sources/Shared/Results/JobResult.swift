/// What a kind of job is called, on the wire, in the catalogue and to clients.
///
/// Any name may come from a newer t2d; `JobKind.specs` of WorkerProtocol lists those that there are.
package struct JobKind: Hashable, Sendable, Codable, CustomStringConvertible {
  package let name: String

  package init(_ name: String) { self.name = name }

  package init(from decoder: any Decoder) throws {
    name = try decoder.singleValueContainer().decode(String.self)
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(name)
  }

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
