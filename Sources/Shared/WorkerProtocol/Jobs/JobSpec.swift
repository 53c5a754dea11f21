package import Records
package import Results
package import StrictJSON

/// A kind of job, declared once: what it is called, what the worker is given, and what it answers.
///
/// To add one: a file in `Jobs` with a struct that conforms, and a line in `JobKind.specs`. The worker's body and what
/// the daemon does at its end extend the same struct.
///
/// Specs are records: one that an older t2d queued lacks what came later, and has its default.
package protocol JobSpec: Record, WorkerMessage {
  /// Of a job that is done.
  associatedtype Result: Codable & Sendable

  static var kind: JobKind { get }
}

extension JobSpec {
  package static var valueType: ValueType { .record }
  package static var place: String { "spec" }

  package var kind: JobKind { Self.kind }
}

extension JobSpec where Result: JobResult {
  package static var kind: JobKind { Result.kind }
}

extension JobKind {
  /// Every kind of job: one line each.
  package static let specs: [any JobSpec.Type] = [
    InspectSpec.self,
    AdaptSpec.self,
    SweepSpec.self,
    TrainSpec.self,
    CheckSpec.self,
    EvaluateSpec.self,
    CompareSpec.self,
    AblateSpec.self,
    DispatchEvaluateSpec.self,
  ]

  /// Nil where there is no such kind, such as one of a newer t2d.
  package var declaration: (any JobSpec.Type)? { Self.specs.first { $0.kind == self } }

  /// Reads what a catalogue keeps of a job of this kind.
  package func decode(_ spec: JSONValue) throws(WorkerProtocolError) -> any JobSpec {
    guard let declaration else { throw .malformed(RecordError(.invalid, at: "kind", problem)) }
    return try declaration.init(decoding: spec)
  }

  /// Of the kind that a message names.
  static func declaration(from decoder: any Decoder) throws -> any JobSpec.Type {
    let kind = JobKind(try decoder.singleValueContainer().decode(String.self))
    guard let declaration = kind.declaration else { throw RecordError(.invalid, in: decoder, kind.problem) }
    return declaration
  }

  private var problem: String {
    ValueType.choice(Self.specs.map { $0.kind.name }).problem(with: .string(name)) ?? "is not known"
  }
}
