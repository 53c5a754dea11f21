package import StrictJSON

/// The lines that the server writes. Sample:
///
///     {"jsonrpc":"2.0","id":7,"result":{"pid":4711}}
///     {"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"...","data":{"kind":"parse_error"}}}
///     {"jsonrpc":"2.0","method":"event","params":{"sequence":12,"event":"expert.stored"}}
///     {"jsonrpc":"2.0","method":"part","params":{"id":7,"part":3,"text":" honey","ids":[11562]}}
package enum RPCAnswer {
  package static let resultPrefix: StaticString = "{\"jsonrpc\":\"2.0\",\"id\":"
  package static let resultMiddle: StaticString = ",\"result\":"

  /// `idBytes` is JSON text; `result` too.
  package static func success(idBytes: [UInt8], result: [UInt8]) -> [UInt8] {
    var line: [UInt8] = []
    line.reserveCapacity(40 + idBytes.count + result.count)
    line.append(contentsOf: "{\"jsonrpc\":\"2.0\",\"id\":".utf8)
    line.append(contentsOf: idBytes)
    line.append(contentsOf: ",\"result\":".utf8)
    line.append(contentsOf: result)
    line.append(contentsOf: "}\n".utf8)
    return line
  }

  package static func failure(idBytes: [UInt8], error: RPCError) -> [UInt8] {
    var line = Array("{\"jsonrpc\":\"2.0\",\"id\":".utf8)
    line.append(contentsOf: idBytes)
    line.append(contentsOf: ",\"error\":".utf8)
    line.append(contentsOf: error.json.serialized())
    line.append(contentsOf: "}\n".utf8)
    return line
  }

  package static func notification(method: String, params: JSONObject) -> [UInt8] {
    line(["jsonrpc": "2.0", "method": .string(method), "params": .object(params)])
  }

  /// A piece of the answer to a request; `members` come after its id.
  package static func part(idBytes: [UInt8], number: Int, members: JSONObject) -> [UInt8] {
    var line = Array("{\"jsonrpc\":\"2.0\",\"method\":\"\(RPCNotification.part.rawValue)\",\"params\":{\"id\":".utf8)
    line.append(contentsOf: idBytes)
    var rest: JSONObject = ["part": .integer(Int64(number))]
    for (key, value) in members.members { rest[key] = value }
    line.append(UInt8(ascii: ","))
    line.append(contentsOf: JSONValue.object(rest).serialized().dropFirst())
    line.append(contentsOf: "}\n".utf8)
    return line
  }

  /// A request as RPCClient sends it.
  package static func request(id: Int64, method: String, params: JSONObject) -> [UInt8] {
    var object: JSONObject = ["jsonrpc": "2.0", "id": .integer(id), "method": .string(method)]
    if !params.members.isEmpty { object["params"] = .object(params) }
    return line(object)
  }

  private static func line(_ object: JSONObject) -> [UInt8] {
    JSONValue.object(object).serialized() + [0x0a]
  }
}
