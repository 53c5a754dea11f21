import Glibc

/// Runs `body` with the effective user of this thread alone, as which a socket then knows its peer. Root only.
///
/// glibc's own calls change all threads of a process; the kernel's changes one. The saved user stays root, so that there
/// is a way back.
package func asUser<Value>(_ user: UInt32, _ body: () throws -> Value) throws -> Value {
  try setEffectiveUser(user)
  defer { try? setEffectiveUser(0) }
  return try body()
}

private struct NotChanged: Error { var user: UInt32 }

private func setEffectiveUser(_ user: UInt32) throws {
  // syscall(2) has variable arguments, which Swift does not call; on x86-64 and arm64 integers go the same way in both.
  typealias SystemCall = @convention(c) (Int, Int, Int, Int) -> Int
  guard let address = unsafe dlsym(nil, "syscall") else { throw NotChanged(user: user) }
  let call = unsafe unsafeBitCast(address, to: SystemCall.self)
  guard call(setresuidNumber, -1, Int(user), -1) == 0 else { throw NotChanged(user: user) }
}

#if arch(arm64)
  private let setresuidNumber = 147
#else
  private let setresuidNumber = 117
#endif
