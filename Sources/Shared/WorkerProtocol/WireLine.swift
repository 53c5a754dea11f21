package import StrictJSON

extension JSONValue {
  /// The value as one line of the protocol, `\n` included.
  package var workerLine: [UInt8] {
    var bytes = serialized()
    bytes.append(UInt8(ascii: "\n"))
    return bytes
  }

  /// A line of the protocol without its `\n`.
  package init(workerLine line: [UInt8]) throws(WorkerProtocolError) {
    do throws(JSONError) {
      self = try parseJSON(line, limits: JSONLimits(maximumBytes: WorkerProtocol.longestLine))
    } catch {
      throw .notJSON(error.description)
    }
  }
}
