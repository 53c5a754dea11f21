import CLinux
import Glibc

/// Who is at the other end of a Unix socket, as the kernel recorded it when they connected.
package struct PeerCredentials: Equatable, Sendable {
  package var process: Int32
  package var user: UInt32
  package var group: UInt32
  /// Supplementary groups; empty where the kernel does not tell.
  package var groups: [UInt32]

  package init(process: Int32, user: UInt32, group: UInt32, groups: [UInt32] = []) {
    self.process = process
    self.user = user
    self.group = group
    self.groups = groups
  }
}

extension FileDescriptor {
  /// The credentials of a connected Unix socket's peer.
  package func peerCredentials() throws(SystemCallError) -> PeerCredentials {
    var process: Int32 = 0
    var user: UInt32 = 0
    var group: UInt32 = 0
    try systemCall("read the peer's credentials") { unsafe t2_peer_credentials(number, &process, &user, &group) }
    var groups = [UInt32](repeating: 0, count: 64)
    var found = unsafe t2_peer_groups(number, &groups, Int32(groups.count))
    if found > groups.count {
      groups = [UInt32](repeating: 0, count: Int(found))
      found = unsafe t2_peer_groups(number, &groups, Int32(groups.count))
    }
    return PeerCredentials(
      process: process, user: user, group: group, groups: Array(groups.prefix(max(0, Int(found)))))
  }

  /// Two connected stream sockets, blocking.
  package static func socketPair() throws(SystemCallError) -> (FileDescriptor, FileDescriptor) {
    var sockets: [Int32] = [-1, -1]
    try systemCall("create a socket pair") { unsafe t2_socketpair(&sockets) }
    return (FileDescriptor(takingOwnershipOf: sockets[0]), FileDescriptor(takingOwnershipOf: sockets[1]))
  }

  /// Sends bytes, and with their first one a descriptor; returns how many bytes went. The caller keeps its descriptor.
  package func send(
    _ bytes: UnsafeRawBufferPointer, passing descriptor: FileDescriptor? = nil
  ) throws(SystemCallError) -> Int {
    try systemCall("send") {
      unsafe t2_send_descriptor(number, bytes.baseAddress, bytes.count, descriptor?.number ?? -1, 0)
    }
  }

  /// Receives bytes and at most one descriptor; 0 bytes at the end.
  package func receive(
    into buffer: UnsafeMutableRawBufferPointer
  ) throws(SystemCallError) -> (count: Int, descriptor: FileDescriptor?) {
    var passed: Int32 = -1
    let count = try systemCall("receive") {
      unsafe t2_receive_descriptor(number, buffer.baseAddress, buffer.count, &passed, 0)
    }
    return (count, passed >= 0 ? FileDescriptor(takingOwnershipOf: passed) : nil)
  }

  package func send(_ bytes: [UInt8], passing descriptor: FileDescriptor? = nil) throws(SystemCallError) -> Int {
    try systemCall("send") {
      unsafe t2_send_descriptor(number, bytes, bytes.count, descriptor?.number ?? -1, 0)
    }
  }

  package func receive(
    upTo count: Int
  ) throws(SystemCallError) -> (bytes: [UInt8], descriptor: FileDescriptor?) {
    var passed: FileDescriptor?
    let bytes = try unsafe filling(count) { (buffer) throws(SystemCallError) in
      let received = try unsafe receive(into: buffer)
      passed = received.descriptor
      return received.count
    }
    return (bytes, passed)
  }
}
