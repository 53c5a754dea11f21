import CLinux
import Glibc

/// A child process and its end. Whoever drops the last reference to one that still runs kills it.
///
/// The child starts with default signals, an empty mask, stdin from /dev/null, stdout joined to stderr, one socket as
/// descriptor 3 and nothing else open. It learns of the parent's end by the end of file on that socket, and by a
/// signal if it asks for one (`ProcessLimits.parentDeathSignal`).
package final class ChildProcess: Sendable {
  package enum Exit: Equatable, Sendable, CustomStringConvertible {
    case code(Int32)
    case signal(Int32)

    package var description: String {
      switch self {
      case .code(let code): "exit code \(code)"
      case .signal(let signal): "signal \(signal)"
      }
    }
  }

  package let processID: Int32
  /// A pidfd: readable once the child has ended, for an event loop.
  package let exitDescriptor: FileDescriptor
  private let exit = Mutex<Exit?>(nil)

  /// Starts a program by its path; `arguments` begins with its name. The PATH is not searched and no shell is run.
  package init(
    _ executable: String, arguments: [String], environment: [String], socket: FileDescriptor?
  ) throws(SystemCallError) {
    var pid: Int32 = 0
    let failure = unsafe withCStrings(arguments) { arguments in
      unsafe withCStrings(environment) { environment in
        unsafe t2_spawn(executable, arguments, environment, socket?.number ?? -1, &pid)
      }
    }
    guard failure == 0 else { throw SystemCallError("start the program", executable, number: failure) }
    let descriptor = t2_pidfd_open(pid)
    guard descriptor >= 0 else {
      let error = SystemCallError("open a descriptor of the process \(pid)")
      kill(pid, SIGKILL)
      var code: Int32 = 0
      var signal: Int32 = 0
      _ = unsafe t2_wait(pid, 1, &code, &signal)
      throw error
    }
    processID = pid
    exitDescriptor = FileDescriptor(takingOwnershipOf: descriptor)
  }

  deinit {
    guard pollExit() == nil else { return }
    signal(SIGKILL)
    _ = waitForExit()
  }

  /// The environment of this process, one `NAME=value` each, without the given names.
  package static func environment(without names: Set<String> = []) -> [String] {
    var result: [String] = []
    var entry = unsafe environ
    while let text = unsafe entry.pointee {
      let variable = unsafe String(cString: text)
      if !names.contains(String(variable.prefix { $0 != "=" })) { result.append(variable) }
      unsafe entry += 1
    }
    return result
  }

  /// Sends a signal; nothing where the child has ended. It cannot reach another process: the pidfd names this one.
  package func signal(_ signal: Int32) {
    _ = t2_pidfd_send_signal(exitDescriptor.number, signal)
  }

  /// How it ended, nil while it runs. Does not block.
  package func pollExit() -> Exit? {
    exit.withLock { exit in
      if exit == nil {
        var code: Int32 = 0
        var signal: Int32 = 0
        switch unsafe t2_wait(processID, 0, &code, &signal) {
        case 1: exit = signal != 0 ? .signal(signal) : .code(code)
        // Reaped by someone else (SIGCHLD ignored): how it ended is lost.
        case -1: exit = .code(-1)
        default: break
        }
      }
      return exit
    }
  }

  /// Blocks until it ends, or the deadline passes (nil).
  package func waitForExit(until deadline: Deadline = .never) -> Exit? {
    while true {
      if let exit = pollExit() { return exit }
      if deadline.hasPassed { return nil }
      var poll = pollfd(fd: exitDescriptor.number, events: Int16(POLLIN), revents: 0)
      _ = unsafe Glibc.poll(&poll, 1, deadline.pollMilliseconds)
    }
  }
}

/// Calls `body` with a null-terminated array of C strings, valid during the call.
private func withCStrings<Value>(
  _ strings: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Value
) -> Value {
  let pointers = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: strings.count + 1)
  for (index, string) in strings.enumerated() { unsafe pointers[index] = unsafe strdup(string) }
  unsafe pointers[strings.count] = nil
  defer {
    for index in strings.indices { unsafe free(pointers[index]) }
    unsafe pointers.deallocate()
  }
  return unsafe body(pointers)
}
