package import Records

package enum SystemHello: RPCMethodDeclaration {
  package static let name = "system.hello"
  package static let access = RPCMethod.Access.read
  package static let verb = "rpc system.hello"
  package static let summary = "Says who the daemon is and where its directories are."
  package static let resultNotes =
    "access is read or change, of this peer"

  package struct Parameters: Record {
    @Setting("the caller's name, for the log") package var client: String?
    @Setting("the caller's version, for the log") package var version: String?
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    package var name: String
    package var version: String
    package var `protocol`: Int
    package var pid: Int
    package var capabilities: [String]
    /// `read` or `change`, of this peer.
    package var access: String
    package var prefix: String
    package var socket: String
    package var spool: Spool

    package init(
      name: String, version: String, protocol: Int, pid: Int, capabilities: [String], access: String, prefix: String,
      socket: String, spool: Spool
    ) {
      (self.name, self.version, self.protocol, self.pid, self.capabilities, self.access, self.prefix, self.socket) = (
        name, version, `protocol`, pid, capabilities, access, prefix, socket
      )
      self.spool = spool
    }
  }
}

/// The watched directories.
package struct Spool: Codable, Sendable, Equatable {
  package var experts: String
  package var tasks: String

  package init(experts: String, tasks: String) {
    (self.experts, self.tasks) = (experts, tasks)
  }
}
