import CLinux
import Glibc

/// Tells systemd how the service is (man 3 sd_notify), without its library. Does nothing outside of systemd.
package struct ServiceManager: Sendable {
  /// $NOTIFY_SOCKET: a path, or '@' and an abstract name.
  private let address: String?
  /// How often `watchdog()` must be called: half of what systemd allows. nil where no watchdog is asked for.
  package let watchdogPeriod: Duration?

  /// Takes the variables out of the environment, so that no child speaks for the service. Before the first thread.
  package init() {
    let address = environmentVariable("NOTIFY_SOCKET")
    let microseconds = environmentVariable("WATCHDOG_USEC")
    let process = environmentVariable("WATCHDOG_PID")
    for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] { unsafe unsetenv(name) }
    self.init(address: address, watchdogMicroseconds: microseconds, watchdogProcess: process)
  }

  package init(address: String?, watchdogMicroseconds: String? = nil, watchdogProcess: String? = nil) {
    self.address = address.flatMap { $0.hasPrefix("/") || $0.hasPrefix("@") ? $0 : nil }
    let meant = watchdogProcess.map { $0 == "\(getpid())" } ?? true
    if meant, let text = watchdogMicroseconds, let microseconds = Int64(text), microseconds > 0 {
      watchdogPeriod = .microseconds(microseconds / 2)
    } else {
      watchdogPeriod = nil
    }
  }

  /// The database is open, the first scan is done, the socket listens.
  package func ready(status: String) { send("READY=1\nSTATUS=\(Self.oneLine(status))") }
  package func status(_ text: String) { send("STATUS=\(Self.oneLine(text))") }
  package func stopping() { send("STOPPING=1") }
  package func watchdog() { send("WATCHDOG=1") }
  package func reloading() {
    send("RELOADING=1\nMONOTONIC_USEC=\(MonotonicInstant.now.nanoseconds / 1000)")
  }

  private func send(_ text: String) {
    guard let address else { return }
    let bytes = Array(text.utf8)
    // man 3 sd_notify: errors are to be ignored.
    _ = unsafe t2_unix_send_datagram(address, bytes, bytes.count)
  }

  private static func oneLine(_ text: String) -> String { escaped(text, limit: 512) }
}
