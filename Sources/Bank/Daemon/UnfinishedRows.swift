import Evaluation
import SystemSupport

/// Signs within a file of rows that it is not at its end, for one that could not be read: it is tried again then, as an
/// expert is that ends before its header says. Text says nothing of its length, so a file that is cut between two rows has
/// none of them.
enum UnfinishedRows {
  /// The first sign in the files of a task, as a sentence.
  static func sign(in files: TaskDefinition.Files) -> String? {
    for file in [files.fewshot, files.eval, files.train] {
      if let file, let sign = sign(in: file.bytes) {
        return "'\(file.name)' \(sign); it is tried again when it changes"
      }
    }
    return nil
  }

  static func sign(in bytes: [UInt8]) -> String? {
    let zeros = bytes.reversed().prefix { $0 == 0 }.count
    // With other zeros it is no text, whatever it ends in.
    if zeros >= 8, !bytes.dropLast(zeros).contains(0) {
      return "ends in \(zeros) zero bytes, as a download does that has its size and not yet its content"
    }
    let lastLine = bytes[((bytes.lastIndex(of: 0x0A) ?? -1) + 1)...]
    let isOfLines = first(in: lastLine) == UInt8(ascii: "{") && first(in: bytes[...]) == UInt8(ascii: "{")
    guard isOpen(isOfLines ? lastLine : bytes[...]), isText(bytes) else { return nil }
    return "ends within a row, as a copy or a download does that is not at its end"
  }

  /// Whether JSON that begins here has not closed what it has opened.
  private static func isOpen(_ bytes: ArraySlice<UInt8>) -> Bool {
    guard let first = first(in: bytes), first == UInt8(ascii: "{") || first == UInt8(ascii: "[") else { return false }
    var (depth, isInText, isEscaped) = (0, false, false)
    for byte in bytes {
      if isEscaped {
        isEscaped = false
      } else if isInText {
        isEscaped = byte == UInt8(ascii: "\\")
        isInText = byte != UInt8(ascii: "\"")
      } else {
        switch byte {
        case UInt8(ascii: "\""): isInText = true
        case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
        case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
        default: break
        }
      }
    }
    return isInText || depth > 0
  }

  private static func first(in bytes: ArraySlice<UInt8>) -> UInt8? {
    let isMarked = bytes.starts(with: [0xEF, 0xBB, 0xBF])
    return bytes.dropFirst(isMarked ? 3 : 0).first { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }
  }

  /// In UTF-8, of which the last character may be cut too.
  private static func isText(_ bytes: [UInt8]) -> Bool {
    let continued = bytes.suffix(3).reversed().prefix { (0x80...0xBF).contains($0) }.count
    let isCut = bytes.dropLast(continued).last.map { (0xC2...0xF4).contains($0) } ?? false
    return String(validating: isCut ? bytes.dropLast(continued + 1) : bytes[...], as: UTF8.self) != nil
  }
}
