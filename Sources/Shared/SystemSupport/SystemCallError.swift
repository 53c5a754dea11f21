import CLinux
import Glibc

/// A system call that failed: what was attempted, on what, what the kernel said, and what to do.
package struct SystemCallError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The attempt in plain words that begin with the call's name: "open", "fsync the directory".
  package var call: String
  /// What it was attempted on; nil where it has no name.
  package var path: String?
  /// The value of `errno`.
  package var number: Int32
  /// What a person can do about it.
  package var hint: String?

  package init(_ call: String, _ path: String? = nil, number: Int32 = errno, hint: String? = nil) {
    self.call = call
    self.path = path
    self.number = number
    self.hint = hint ?? Self.usualHint(number)
  }

  /// The symbol, such as "ENOENT".
  package var name: String {
    guard let name = unsafe t2_error_name(number) else { return "error \(number)" }
    return unsafe String(cString: name)
  }

  /// glibc's text, never translated.
  package var text: String {
    guard let text = unsafe t2_error_text(number) else { return "unknown error" }
    return unsafe String(cString: text)
  }

  package var description: String {
    let target = path.map { " '\(escaped($0, limit: 256))'" } ?? ""
    let advice = hint.map { "; \($0)" } ?? ""
    return "cannot \(call)\(target): \(text) (\(name))\(advice)"
  }

  /// Whether the reason lies in what is on the disk: it is not there, is something else, or cannot be read. Of other
  /// errors, such as too many open files, the file knows nothing, and they may be gone the next time.
  package var isOfTheFile: Bool {
    [ENOENT, ENOTDIR, EISDIR, ELOOP, ENXIO, EINVAL, EFBIG, EIO, EBADMSG, EUCLEAN].contains(number)
  }

  private static func usualHint(_ number: Int32) -> String? {
    switch number {
    case ENOSPC: "free some space on that file system"
    case EDQUOT: "the user's disk quota is used up"
    case EMFILE: "raise the limit of open files (ulimit -n, or LimitNOFILE= in the unit)"
    case EROFS: "the file system is mounted read-only (ReadWritePaths= in a systemd unit)"
    default: nil
    }
  }
}

/// Runs a call that returns -1 and sets `errno`, again where a signal interrupted it, and returns its value.
@discardableResult
package func systemCall<Value: FixedWidthInteger & SignedInteger>(
  _ call: @autoclosure () -> String, _ path: @autoclosure () -> String? = nil, _ body: () -> Value
) throws(SystemCallError) -> Value {
  while true {
    let value = body()
    if value >= 0 { return value }
    let number = errno
    if number != EINTR { throw SystemCallError(call(), path(), number: number) }
  }
}
