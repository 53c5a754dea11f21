import Records
import StrictJSON

/// A result as the text that is sent: made once of what the method declares, and answered many times.
package struct RenderedResult<Value: Codable & Sendable>: Sendable {
  package let bytes: [UInt8]

  package init(_ value: Value) { bytes = RecordWriter.json(value).serialized() }
}
