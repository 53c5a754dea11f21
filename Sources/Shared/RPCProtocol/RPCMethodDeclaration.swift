package import Records
package import StrictJSON

/// A method, declared once: what it is called, who may call it, what it takes and what it answers.
///
/// To add one: a file in `Methods` with an enum that conforms, and a line in `RPCMethod.declarations`. The daemon's handler
/// extends the same enum. The server's checks, `system.methods`, t2ctl's options, the completion and the tests of the
/// manual are made of the declaration.
package protocol RPCMethodDeclaration: Sendable {
  associatedtype Parameters: Record
  /// What is answered, as the daemon writes and a client reads it.
  associatedtype Result: Codable & Sendable

  static var name: String { get }
  static var access: RPCMethod.Access { get }
  /// The verb of t2ctl that calls it.
  static var verb: String { get }
  /// The protocol version that brought it.
  static var since: Int { get }
  static var summary: String { get }
  /// Whether a descriptor comes with the request (SCM_RIGHTS): a file is opened by who asks, with his own rights, and the
  /// daemon never opens what a client names.
  static var takesFile: Bool { get }
  /// What the names of the result's members do not say; empty where they say all.
  static var resultNotes: String { get }
  /// What the result object holds, in member names and words.
  static var resultSummary: String { get }
}

extension RPCMethodDeclaration {
  package static var since: Int { 1 }
  package static var takesFile: Bool { false }
  package static var resultNotes: String { "" }
  package static var resultSummary: String {
    [MemberNames(of: Result.self).text, resultNotes].filter { !$0.isEmpty }.joined(separator: "; ")
  }

  package static var parameterMembers: [MemberDefinition] { Parameters.members }

  /// Reads the parameters of a request that ``RPCMethod/check(_:)`` has passed; what contradicts itself is refused here.
  package static func parameters(_ object: JSONObject) throws(RPCError) -> Parameters {
    do throws(RecordError) {
      return try RecordReader(unknownMembers: .refused).read(.object(object), over: Parameters())
    } catch {
      throw RPCError(.invalidParams, "\(name): \(error.problemAtPlace)", hint: error.hint)
    }
  }
}

extension RecordError {
  fileprivate var problemAtPlace: String { place.isEmpty ? problem : "'\(place)' \(problem)" }
}
