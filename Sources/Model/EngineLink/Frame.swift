import StrictJSON
import SystemSupport

/// A line of JSON, and behind it little-endian floats to the end of the body: `application/x-t2-frame`.
enum Frame {
  static let contentType = "application/x-t2-frame"

  static func bytes(_ line: [UInt8], _ floats: [Float]) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(line.count + 1 + 4 * floats.count)
    bytes += line
    bytes.append(0x0A)
    append(floats, to: &bytes)
    return bytes
  }

  static func append(_ floats: [Float], to bytes: inout [UInt8]) {
    unsafe floats.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) }
  }

  /// - Parameter expected: how many floats there must be, from what the line says.
  static func read(
    _ body: [UInt8], _ limits: JSONLimits, floats expected: (JSONObject) throws(EngineFailure.Cause) -> Int
  ) throws(EngineFailure.Cause) -> (line: JSONObject, floats: [Float]) {
    guard let end = body.firstIndex(of: 0x0A) else {
      throw .notTheProtocol("a line of JSON and numbers were expected, and there is no line in its \(body.count) bytes")
    }
    let line = try object(body[..<end], limits)
    let count = try expected(line)
    let found = body.count - end - 1
    guard found == 4 * count else {
      throw .notTheProtocol("\(4 * count) bytes of numbers were expected, and there are \(found)")
    }
    return (line, floats(body[(end + 1)...]))
  }

  static func object(_ bytes: ArraySlice<UInt8>, _ limits: JSONLimits) throws(EngineFailure.Cause) -> JSONObject {
    let json: JSONValue
    do throws(JSONError) { json = try parseJSON(bytes, limits: limits) } catch {
      throw .notTheProtocol("it is not JSON: \(error)")
    }
    guard case .object(let object) = json else { throw .notTheProtocol("it is \(json.kindName), and no object") }
    return object
  }

  private static func floats(_ bytes: ArraySlice<UInt8>) -> [Float] {
    unsafe bytes.withUnsafeBytes { raw in
      (0..<raw.count / 4).map { unsafe raw.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
    }
  }

  static func doubles(_ bytes: [UInt8]) -> [Double] {
    unsafe bytes.withUnsafeBytes { raw in
      (0..<raw.count / 8).map { unsafe raw.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self) }
    }
  }
}
