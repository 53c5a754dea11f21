import Results
package import StrictJSON

/// A long piece of work: one runs at a time, in its own thread of the worker.
package struct JobStart: WorkerMessage {
  package var job: Int64
  package var spec: any JobSpec
  /// The entries of `job.journal` that an interrupted run of this job left, in order; the run goes on after them.
  package var journal: [JSONValue]

  package init(job: Int64, spec: any JobSpec, journal: [JSONValue] = []) {
    self.job = job
    self.spec = spec
    self.journal = journal
  }
}

extension JobStart {
  private enum CodingKeys: String, CodingKey { case job, kind, spec, journal }

  package init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    job = try container.decode(Int64.self, forKey: .job)
    func read<Spec: JobSpec>(_ type: Spec.Type) throws -> any JobSpec { try container.decode(type, forKey: .spec) }
    let declaration = try JobKind.declaration(from: try container.superDecoder(forKey: .kind))
    spec = try read(declaration)
    journal = try container.decode([JSONValue].self, forKey: .journal)
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(job, forKey: .job)
    try container.encode(spec.kind.name, forKey: .kind)
    try container.encode(spec, forKey: .spec)
    try container.encode(journal, forKey: .journal)
  }

  package static func == (left: Self, right: Self) -> Bool {
    func isEqual<Spec: JobSpec>(_ spec: Spec) -> Bool { spec == right.spec as? Spec }
    return left.job == right.job && isEqual(left.spec) && left.journal == right.journal
  }
}
