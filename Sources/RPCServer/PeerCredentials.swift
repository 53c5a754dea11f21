package import CLinux
import Glibc
import SystemSupport

/// Who connected, as the kernel saw it at that moment; a pid that is used again later changes nothing.
package struct PeerCredentials: Sendable, Equatable {
  package let pid: pid_t
  package let user: uid_t
  package let group: gid_t
  package let supplementaryGroups: [gid_t]

  package init(pid: pid_t, user: uid_t, group: gid_t, supplementaryGroups: [gid_t] = []) {
    self.pid = pid
    self.user = user
    self.group = group
    self.supplementaryGroups = supplementaryGroups
  }

  init(of socket: FileDescriptor) throws(SystemCallError) {
    var pid = pid_t()
    var user = uid_t()
    var group = gid_t()
    try systemCall("read the peer's credentials") {
      unsafe t2_peer_credentials(socket.number, &pid, &user, &group)
    }
    // 64 groups are enough to find one in; a peer with more of them is judged by the first 64.
    var groups = [gid_t](repeating: 0, count: 64)
    let count = unsafe t2_peer_groups(socket.number, &groups, 64)
    self.init(
      pid: pid, user: user, group: group, supplementaryGroups: Array(groups.prefix(max(0, Int(count)))))
  }
}

/// Who may call the methods that change things: root, the daemon's user, and the admin group.
package struct RPCAuthority: Sendable {
  package var daemonUser: uid_t
  package var adminGroup: gid_t?

  package init(daemonUser: uid_t = geteuid(), adminGroup: gid_t? = nil) {
    self.daemonUser = daemonUser
    self.adminGroup = adminGroup
  }

  package func mayChange(_ peer: PeerCredentials) -> Bool {
    if peer.user == 0 || peer.user == daemonUser { return true }
    guard let adminGroup else { return false }
    return peer.group == adminGroup || peer.supplementaryGroups.contains(adminGroup)
  }
}
