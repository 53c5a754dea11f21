import Records
package import StrictJSON

package enum SystemMethods: RPCMethodDeclaration {
  package static let name = "system.methods"
  package static let access = RPCMethod.Access.read
  package static let verb = "methods"
  package static let summary = "Lists the methods with their parameters."

  package struct Parameters: Record {
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    package var `protocol`: Int
    package var methods: [Method]
    package var notifications: [Notification]

    package init(protocol: Int, methods: [Method], notifications: [Notification]) {
      (self.protocol, self.methods, self.notifications) = (`protocol`, methods, notifications)
    }
  }

  package struct Method: Codable, Sendable, Equatable {
    package var name: String
    package var access: String
    package var since: Int
    package var summary: String
    package var result: String
    package var verb: String
    package var params: [Parameter]

    package init(
      name: String, access: String, since: Int, summary: String, result: String, verb: String, params: [Parameter]
    ) {
      (self.name, self.access, self.since, self.summary, self.result, self.verb, self.params) = (
        name, access, since, summary, result, verb, params
      )
    }
  }

  package struct Parameter: Codable, Sendable, Equatable {
    package var name: String
    package var type: String
    package var required: Bool
    package var summary: String
    package var `default`: JSONValue?
    package var values: [String]?
    package var minimum: JSONValue?
    package var maximum: JSONValue?

    package init(
      name: String, type: String, required: Bool, summary: String, `default`: JSONValue? = nil, values: [String]? = nil,
      minimum: JSONValue? = nil, maximum: JSONValue? = nil
    ) {
      (self.name, self.type, self.required, self.summary, self.`default`, self.values, self.minimum, self.maximum) = (
        name, type, required, summary, `default`, values, minimum, maximum
      )
    }
  }

  package struct Notification: Codable, Sendable, Equatable {
    package var name: String
    package var summary: String
    package var params: String

    package init(name: String, summary: String, params: String) {
      (self.name, self.summary, self.params) = (name, summary, params)
    }
  }
}
