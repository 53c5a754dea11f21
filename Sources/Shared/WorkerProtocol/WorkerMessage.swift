package import Records
package import StrictJSON

/// Whatever crosses the process boundary: the compiler writes and reads it, as an object with members in snake_case.
///
/// A member that this end does not know is ignored; an error names its place and what was expected there. What is public or
/// stored too is pinned by the tests' recorded examples.
package protocol WorkerMessage: RecordValue {
  /// Where it stands when it is read alone, for errors.
  static var place: String { get }
}

extension WorkerMessage {
  package static var valueType: ValueType { .record }
  package static var place: String { "" }

  package var json: JSONValue { RecordWriter.json(self) }

  package init(decoding value: JSONValue) throws(WorkerProtocolError) {
    do throws(RecordError) {
      self = try RecordReader(unknownMembers: .ignored).read(value, at: Self.place)
    } catch {
      throw .malformed(error)
    }
  }
}

/// The `result` of an answer, or of a job that is done.
package protocol WorkerResult: WorkerMessage {}

extension WorkerResult {
  package static var place: String { "result" }
}
