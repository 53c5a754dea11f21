import Records
import Registry
import StrictJSON
import WorkerProtocol

/// A kind of job that the daemon asks for: what its end means to the bank. On the catalogue's thread, while the job is
/// still the running one.
///
/// Whatever a kind leaves out does nothing, and its result is shown as it came: an evaluation changes nothing.
protocol HandledJob: JobSpec {
  /// What the worker is given. A fault is the job's end.
  func whole(for job: JobRecord, on coordinator: Coordinator) throws(WorkerFault) -> Self
  /// The worker has done the job: stores what follows from it and returns what the job shows of it. An error fails it.
  func finished(_ job: JobRecord, _ result: Result, on coordinator: Coordinator) throws -> JSONValue
  /// The worker could not do it.
  func failed(_ job: JobRecord, _ fault: WorkerFault, on coordinator: Coordinator) throws(RegistryError)
  /// The job has come to its end, whatever that was, and is run no more: what it has staged goes.
  func ended()
  /// What a job that ends without a result shows, before its journal goes. Its spec need not be readable.
  static func remains(of job: JobRecord, on coordinator: Coordinator) throws(RegistryError) -> JSONValue?
}

extension HandledJob {
  func whole(for job: JobRecord, on coordinator: Coordinator) throws(WorkerFault) -> Self { self }

  func finished(_ job: JobRecord, _ result: Result, on coordinator: Coordinator) throws -> JSONValue {
    RecordWriter.json(result)
  }

  func failed(_ job: JobRecord, _ fault: WorkerFault, on coordinator: Coordinator) throws(RegistryError) {}

  func ended() {}

  static func remains(of job: JobRecord, on coordinator: Coordinator) throws(RegistryError) -> JSONValue? { nil }

  /// Reads what the worker has sent.
  static func result(of json: JSONValue) throws(RecordError) -> Result {
    try RecordReader(unknownMembers: .ignored).read(json, at: "result")
  }
}
