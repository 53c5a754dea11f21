import SystemSupport

/// What a daemon and its worker did to the files below a directory, and when it answered, as strace(1) has written it down
/// with all bytes.
struct DiskRecording {
  enum Event {
    case open(path: String, creates: Bool, truncates: Bool)
    case openUnnamed(path: String, descriptor: String)
    case makeDirectory(String)
    case write(path: String, at: Int?, [UInt8])
    case truncate(path: String, Int)
    case synchronize(String)
    case rename(String, String)
    case link(String, String)
    /// A descriptor gets a name.
    case linkDescriptor(String, String)
    case remove(String)
    case answer(Int64)
  }

  static let calls = [
    "openat", "mkdir", "write", "pwrite64", "ftruncate", "fsync", "fdatasync", "rename", "renameat", "renameat2",
    "link",
    "linkat", "unlink", "unlinkat", "rmdir", "sendto", "sendmsg",
  ]
  static func strace(_ output: String) -> [String] {
    [
      "strace", "-D", "-f", "-q", "-y", "-xx", "-s", "16777216", "-o", output, "-e",
      "trace=" + calls.joined(separator: ","),
    ]
  }

  private(set) var events: [Event] = []

  init(_ text: [UInt8]) throws {
    var unfinished: [String: String] = [:]
    for line in text.split(separator: 0x0a) {
      let line = String(decoding: line, as: UTF8.self)
      guard let space = line.firstIndex(of: " ") else { continue }
      let process = String(line[..<space])
      let rest = line[space...].drop { $0 == " " }
      if rest.hasSuffix("<unfinished ...>") {
        // What is sent may be read at once.
        if rest.hasPrefix("send") { add(String(rest)) } else { unfinished[process] = String(rest.dropLast(16)) }
      } else if rest.hasPrefix("<... ") {
        guard let begun = unfinished.removeValue(forKey: process), let end = rest.firstRange(of: "resumed>") else {
          continue
        }
        add(begun + String(rest[end.upperBound...]))
      } else {
        add(String(rest))
      }
    }
  }

  private mutating func add(_ line: String) {
    guard let open = line.firstIndex(of: "(") else { return }
    let call = String(line[..<open])
    if call.hasPrefix("send") { return addAnswer(line) }
    // The bytes that are written come before it.
    let tail = line.suffix(2_000)
    guard Self.calls.contains(call), let equals = tail.ranges(of: " = ").last else { return }
    let result = tail[equals.upperBound...]
    guard result.first?.isNumber == true else { return }
    let texts = Self.between(line, "\"", "\"")
    let paths = Self.between(line, "<", ">").map { String(decoding: $0, as: UTF8.self) }
    func absolute(_ index: Int) -> String {
      let path = index < texts.count ? String(decoding: texts[index], as: UTF8.self) : ""
      return path.hasPrefix("/") ? path : (index < paths.count ? paths[index] : "") + "/" + path
    }
    let numbers = tail[..<equals.lowerBound].suffix(40).split { !$0.isNumber }.compactMap { Int($0) }
    switch call {
    case "openat":
      guard let path = paths.last else { return }
      if line.contains("O_TMPFILE") {
        let descriptor = String(result.prefix { $0.isNumber })
        events.append(.openUnnamed(path: path, descriptor: descriptor))
      } else {
        let (creates, truncates) = (line.contains("O_CREAT"), line.contains("O_TRUNC"))
        events.append(.open(path: path, creates: creates, truncates: truncates))
      }
    case "mkdir": events.append(.makeDirectory(absolute(0)))
    case "write":
      if let path = paths.first, let bytes = texts.first { events.append(.write(path: path, at: nil, bytes)) }
    case "pwrite64":
      if let path = paths.first, let bytes = texts.first, let offset = numbers.last {
        events.append(.write(path: path, at: offset, bytes))
      }
    case "ftruncate": if let path = paths.first, let size = numbers.last { events.append(.truncate(path: path, size)) }
    case "fsync", "fdatasync": if let path = paths.first { events.append(.synchronize(path)) }
    case "rename", "renameat", "renameat2": events.append(.rename(absolute(0), absolute(1)))
    case "link", "linkat":
      let from = absolute(0)
      let isDescriptor = from.hasPrefix("/proc/self/fd/")
      events.append(
        isDescriptor ? .linkDescriptor(String(from.dropFirst(14)), absolute(1)) : .link(from, absolute(1)))
    default: events.append(.remove(absolute(0)))
    }
  }

  private mutating func addAnswer(_ line: String) {
    for text in Self.between(line, "\"", "\"") {
      for answer in String(decoding: text, as: UTF8.self).split(separator: "\n") where answer.contains("\"result\":") {
        guard let member = answer.firstRange(of: "\"id\":") else { continue }
        if let id = Int64(answer[member.upperBound...].prefix { $0.isNumber }) { events.append(.answer(id)) }
      }
    }
  }

  /// What stands between two marks, each time, its bytes written as \x41.
  private static func between(_ line: String, _ open: Character, _ close: Character) -> [[UInt8]] {
    let (first, last) = (open.asciiValue ?? 0, close.asciiValue ?? 0)
    var found: [[UInt8]] = []
    var current: [UInt8] = []
    var isInside = false
    // Of \x41: 1 after the backslash, 2 after the x, 3 after the first digit.
    var digits = 0
    for byte in line.utf8 {
      if !isInside {
        if byte == first { (current, digits, isInside) = ([], 0, true) }
      } else if byte == last {
        found.append(current)
        isInside = false
      } else if digits > 1 {
        let value = byte < 0x3a ? byte - 0x30 : byte - 0x57
        if digits == 2 { current.append(value << 4) } else { current[current.count - 1] |= value }
        digits = digits == 2 ? 3 : 0
      } else if byte == 0x5c || digits == 1 {
        digits += 1
      } else {
        current.append(byte)
      }
    }
    return found
  }
}

extension LossyDisk {
  /// Does what the recorded programs did.
  mutating func perform(_ event: DiskRecording.Event, _ descriptors: inout [String: Node]) {
    switch event {
    case .open(let path, let creates, let truncates):
      if creates { make(path, isDirectory: false) }
      node(path)?.position = 0
      if truncates, let node = node(path) { truncate(node, to: 0) }
    case .openUnnamed(let path, let descriptor):
      makeUnnamed(path)
      descriptors[descriptor] = node(path)
    case .makeDirectory(let path): make(path, isDirectory: true)
    case .write(let path, let offset, let bytes): if let node = node(path) { write(node, at: offset, bytes) }
    case .truncate(let path, let size): if let node = node(path) { truncate(node, to: size) }
    case .synchronize(let path): if let node = node(path) { synchronize(node) }
    case .rename(let from, let to): rename(from, to: to)
    case .link(let from, let to): if let node = node(from) { link(node, as: to) }
    case .linkDescriptor(let descriptor, let to): if let node = descriptors[descriptor] { link(node, as: to) }
    case .remove(let path): remove(path)
    case .answer: break
    }
  }
}
