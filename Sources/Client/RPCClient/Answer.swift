import Records
package import RPCProtocol
package import StrictJSON

/// The result of a method as its declaration says, and as it came.
@dynamicMemberLookup
package struct Answer<Value: Codable & Sendable>: Sendable {
  package let value: Value
  /// With what a newer daemon says beyond that.
  package let json: JSONValue

  package subscript<Member>(dynamicMember path: KeyPath<Value, Member>) -> Member { value[keyPath: path] }

  package init(_ value: Value, json: JSONValue) {
    self.value = value
    self.json = json
  }

  package init<Method: RPCMethodDeclaration>(
    of method: Method.Type, _ json: JSONValue
  ) throws(RPCClientError) where Method.Result == Value {
    do throws(RecordError) {
      value = try RecordReader(unknownMembers: .ignored).read(json)
    } catch {
      throw .unreadable(method: Method.name, problem: error.description)
    }
    self.json = json
  }
}
