package import SystemSupport

/// A descriptor that a client has passed along with a request (SCM_RIGHTS).
///
/// Nothing is known of it: it may be a socket, or a file of a file system whose server is the client, so each call on it,
/// its close too, may take for ever. Therefore all of that is done on a thread for the files of that user, and whoever
/// passes files that hang waits alone.
package final class PassedFile: Sendable {
  private let descriptor: FileDescriptor
  private let user: UInt32
  private let owner: PassedFiles

  fileprivate init(_ descriptor: FileDescriptor, of user: UInt32, owner: PassedFiles) {
    self.descriptor = descriptor
    self.user = user
    self.owner = owner
  }

  /// Runs `body` on the thread for this user's files, after what was asked of his earlier ones; then the file is closed.
  /// Once only; any thread.
  package func use(_ body: @escaping @Sendable (FileDescriptor) -> Void) {
    let (owner, user) = (owner, user)
    // Out of this object's hands: its deinit has nothing left to close.
    let descriptor = FileDescriptor(takingOwnershipOf: descriptor.release())
    owner.run(for: user) {
      body(descriptor)
      try? descriptor.close()
      owner.closed(user)
    }
  }

  deinit {
    guard descriptor.isOpen else { return }
    let (owner, user) = (owner, user)
    let number = descriptor.release()
    owner.run(for: user) {
      try? FileDescriptor(takingOwnershipOf: number).close()
      owner.closed(user)
    }
  }
}

/// The files that clients have passed and that are open, and the threads on which they are read.
package final class PassedFiles: Sendable {
  private struct User {
    var open = 0
    var waiting = FIFO<@Sendable () -> Void>()
    /// Whether a thread works for him.
    var isServed = false
  }

  private let users = Mutex<[UInt32: User]>([:])
  /// Open files of one user; what he passes beyond is not received, and the kernel drops it.
  private let limit: Int

  init(limit: Int) { self.limit = limit }

  func mayPass(_ user: UInt32) -> Bool { users.withLock { $0[user].map { $0.open < limit } ?? true } }

  func receive(_ number: Int32, of user: UInt32) -> PassedFile {
    users.withLock { $0[user, default: User()].open += 1 }
    return PassedFile(FileDescriptor(takingOwnershipOf: number), of: user, owner: self)
  }

  fileprivate func closed(_ user: UInt32) {
    users.withLock { $0[user]?.open -= 1 }
  }

  fileprivate func run(for user: UInt32, _ work: @escaping @Sendable () -> Void) {
    let needsThread = users.withLock { users in
      users[user, default: User()].waiting.append(work)
      defer { users[user]?.isServed = true }
      return users[user]?.isServed == false
    }
    // A thread that nobody joins: it may hang, and then the process ends without it.
    if needsThread, (try? OwnedThread(name: "t2d-file", { self.serve(user) })) == nil { serve(user) }
  }

  private func serve(_ user: UInt32) {
    while true {
      let next = users.withLock { users -> (@Sendable () -> Void)? in
        if let next = users[user]?.waiting.popFirst() { return next }
        users[user]?.isServed = false
        if users[user]?.open == 0 { users[user] = nil }
        return nil
      }
      guard let next else { return }
      next()
    }
  }
}
