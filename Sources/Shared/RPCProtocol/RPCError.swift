package import StrictJSON

/// The error object of an answer: `{"code", "message", "data": {"kind", "hint", ...}}`.
package struct RPCError: Error, Sendable, Equatable, CustomStringConvertible {
  /// A number of ``RPCErrorCode``, or one that a newer daemon knows.
  package var code: Int
  /// What was attempted, on what, what was found against what was allowed.
  package var message: String
  /// The name of the code, for programs.
  package var kind: String
  /// What to do now.
  package var hint: String?
  /// Further members of `data`, such as `job`.
  package var details: JSONObject

  package init(_ code: RPCErrorCode, _ message: String, hint: String? = nil, details: JSONObject = [:]) {
    self.code = code.rawValue
    self.kind = code.kind
    self.message = message
    self.hint = hint
    self.details = details
  }

  package var description: String { hint.map { "\(message)\n\($0)" } ?? message }

  package var json: JSONValue {
    var data: JSONObject = ["kind": .string(kind)]
    if let hint { data["hint"] = .string(hint) }
    for (key, value) in details.members where key != "kind" && key != "hint" { data[key] = value }
    return ["code": .integer(Int64(code)), "message": .string(message), "data": .object(data)]
  }

  /// The `error` member of an answer; nil where it is not an error object.
  package init?(json: JSONValue) {
    guard let object = json.objectValue, let number = object["code"]?.integerValue, let code = Int(exactly: number),
      let message = object["message"]?.stringValue
    else { return nil }
    self.code = code
    self.message = message
    var details = JSONObject()
    var kind = RPCErrorCode(rawValue: code)?.kind ?? "unknown"
    var hint: String?
    for (key, value) in object["data"]?.objectValue?.members ?? [] {
      if key == "kind", let text = value.stringValue {
        kind = text
      } else if key == "hint", let text = value.stringValue {
        hint = text
      } else {
        details[key] = value
      }
    }
    self.kind = kind
    self.hint = hint
    self.details = details
  }
}
