import Glibc
package import SystemSupport

/// Who may call the methods that change things: root, the daemon's user, and the admin group.
package struct RPCAuthority: Sendable {
  package var daemonUser: UInt32
  package var adminGroup: UInt32?

  package init(daemonUser: UInt32 = geteuid(), adminGroup: UInt32? = nil) {
    self.daemonUser = daemonUser
    self.adminGroup = adminGroup
  }

  package func mayChange(_ peer: PeerCredentials) -> Bool {
    if peer.user == 0 || peer.user == daemonUser { return true }
    guard let adminGroup else { return false }
    return peer.group == adminGroup || peer.groups.contains(adminGroup)
  }
}
