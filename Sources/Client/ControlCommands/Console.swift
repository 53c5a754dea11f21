import Glibc
import SystemSupport

/// Where t2ctl writes: the answer to standard output, prose to standard error.
package final class Console: Sendable {
  package struct Stream: Sendable {
    package var isTerminal: Bool
    package var columns: Int?
    package var write: @Sendable (String) -> Void

    package init(isTerminal: Bool, columns: Int?, write: @escaping @Sendable (String) -> Void) {
      self.isTerminal = isTerminal
      self.columns = columns
      self.write = write
    }

    package static func descriptor(_ number: Int32) -> Stream {
      Stream(isTerminal: Terminal.isTerminal(number), columns: Terminal.columns(number)) { text in
        writeAll(Array(text.utf8), to: number)
      }
    }
  }

  package let out: Stream
  package let error: Stream
  /// Whether bars and curves may be drawn with block characters.
  let drawsBlocks: Bool
  private let outColor: Bool
  private let errorColor: Bool

  package init(out: Stream, error: Stream, color: ParsedCommand.Color, drawsBlocks: Bool = localeIsUTF8()) {
    self.out = out
    self.error = error
    self.drawsBlocks = drawsBlocks
    func allows(_ stream: Stream) -> Bool {
      switch color {
      case .always: true
      case .never: false
      case .auto:
        // https://no-color.org
        stream.isTerminal && (environmentVariable("NO_COLOR") ?? "").isEmpty && environmentVariable("TERM") != "dumb"
      }
    }
    outColor = allows(out)
    errorColor = allows(error)
  }

  package static func standard(color: ParsedCommand.Color) -> Console {
    Console(out: .descriptor(STDOUT_FILENO), error: .descriptor(STDERR_FILENO), color: color)
  }

  /// A line of the answer.
  func print(_ line: String) { out.write(line + "\n") }

  /// A line of prose.
  func note(_ line: String) { error.write(line + "\n") }

  enum Style: String {
    case bold = "1"
    case dim = "2"
    case red = "31"
    case green = "32"
    case yellow = "33"
  }

  func styled(_ text: String, _ style: Style) -> String {
    outColor ? "\u{1b}[\(style.rawValue)m\(text)\u{1b}[0m" : text
  }
  func styledNote(_ text: String, _ style: Style) -> String {
    errorColor ? "\u{1b}[\(style.rawValue)m\(text)\u{1b}[0m" : text
  }
}

/// As setlocale(3) would find it, without loading a locale.
package func localeIsUTF8() -> Bool {
  let name = ["LC_ALL", "LC_CTYPE", "LANG"].compactMap { environmentVariable($0) }.first { !$0.isEmpty } ?? ""
  return name.lowercased().replacing("-", with: "").hasSuffix("utf8")
}

/// Writes everything or ends the process: a reader that has gone (`| head`) is no error of ours, a full disk is.
private func writeAll(_ bytes: [UInt8], to number: Int32) {
  var done = 0
  while done < bytes.count {
    let count = unsafe bytes.withUnsafeBytes {
      unsafe write(number, $0.baseAddress.map { unsafe $0 + done }, bytes.count - done)
    }
    if count > 0 {
      done += count
    } else if errno != EINTR, errno != EAGAIN {
      exit(errno == EPIPE ? 0 : 1)
    }
  }
}
