import Digests
import SystemSupport

extension EngineConnection {
  /// The bytes of a file of the model, as long and with the digest that the facts say. Nil where they name no such file.
  package func file(_ name: String, _ patience: Patience) throws(EngineFailure) -> [UInt8]? {
    try call("read the file '\(escaped(name, limit: 80))'", patience) { facts throws(EngineFailure.Cause) in
      guard let file = facts.file(name) else { return nil }
      let bytes = try exchange(
        HTTPRequest(method: .get, path: "/t2/files/\(file.name)"), bodyBytes: file.byteCount, patience)
      guard bytes.count == file.byteCount else {
        throw .notTheProtocol("it has \(bytes.count) bytes, and by the facts \(file.byteCount)")
      }
      let digest = SHA256.digest(bytes)
      guard digest == file.digest else {
        throw .notTheProtocol("its bytes are \(digest), and by the facts \(file.digest)")
      }
      return bytes
    }
  }

  /// The singular values of the targets, flat as the layout has them.
  package func sigma(_ patience: Patience) throws(EngineFailure) -> [Double] {
    try call("read the singular values", patience) { facts throws(EngineFailure.Cause) in
      let count = facts.layout.count
      let bytes = try exchange(HTTPRequest(method: .get, path: "/t2/sigma"), bodyBytes: 8 * count, patience)
      guard bytes.count == 8 * count else {
        throw .notTheProtocol("\(8 * count) bytes were expected, and there are \(bytes.count)")
      }
      let values = Frame.doubles(bytes)
      for (index, matrix) in facts.layout.matrices.enumerated() {
        var last = Double.greatestFiniteMagnitude
        for place in facts.layout.range(of: index) {
          // Multiplier i belongs to the i-th largest: in another order all of them would be those of others. NaN is no less
          // either.
          guard values[place] >= 0, values[place] <= last else {
            throw .notTheProtocol(
              "the singular values of '\(escaped(matrix.name, limit: 80))' do not descend: \(values[place]) follows \(last)"
            )
          }
          last = values[place]
        }
      }
      return values
    }
  }
}
