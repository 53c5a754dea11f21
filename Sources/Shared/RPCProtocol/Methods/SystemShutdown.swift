import Records

package enum SystemShutdown: RPCMethodDeclaration {
  package static let name = "system.shutdown"
  package static let access = RPCMethod.Access.change
  package static let verb = "rpc system.shutdown"
  package static let summary = "Ends the daemon after this answer."

  package struct Parameters: Record {
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    package var pid: Int

    package init(pid: Int) {
      self.pid = pid
    }
  }
}
