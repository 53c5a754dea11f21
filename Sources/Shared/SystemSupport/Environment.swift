import CLinux
import Glibc

/// The value of an environment variable; nil where it is not set.
package func environmentVariable(_ name: String) -> String? {
  guard let value = unsafe getenv(name) else { return nil }
  return unsafe String(cString: value)
}

/// What is at the other end of an output descriptor.
package enum Terminal {
  package static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

  /// The width in columns: of the terminal, else $COLUMNS, else nil.
  package static func columns(_ descriptor: Int32) -> Int? {
    let columns = t2_window_columns(descriptor)
    if columns > 0 { return Int(columns) }
    guard let value = environmentVariable("COLUMNS"), let columns = Int(value), columns > 0 else { return nil }
    return columns
  }
}
