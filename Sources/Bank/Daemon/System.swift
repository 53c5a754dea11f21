import Glibc
import Registry
import SystemSupport

/// The few calls that only the daemon makes.
func effectiveUser() -> UInt32 { geteuid() }

func ownProcessID() -> Int32 { getpid() }

/// An absolute path without symbolic links; the path must exist.
func canonicalPath(_ path: String) throws(SystemCallError) -> String {
  guard let resolved = unsafe realpath(path, nil) else { throw SystemCallError("resolve the path", path) }
  defer { unsafe free(resolved) }
  return unsafe String(cString: resolved)
}

/// The number of a group by name or in digits; nil where there is none.
func groupNumber(_ name: String) -> gid_t? {
  if let number = gid_t(name) { return number }
  return unsafe getgrnam(name).map { unsafe $0.pointee.gr_gid }
}

extension Timestamp {
  /// Wall-clock time: for people and for the order of what they see, never to measure by.
  static var now: Timestamp {
    var time = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &time)
    return Timestamp(milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
  }
}
