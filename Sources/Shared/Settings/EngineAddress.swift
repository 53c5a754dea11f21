package import Records

/// Where an engine listens: a Unix socket, or a port of this machine.
///
///     unix:/run/t2-engine/smol.sock
///     http://127.0.0.1:8765      http://localhost:8765      http://[::1]:8765
///
/// Nothing else is one. The engine protocol knows neither passwords nor encryption, so whoever reaches the socket may ask
/// anything of the engine: who that is decides the mode of a file, or the machine.
package enum EngineAddress: TextValue, Hashable {
  /// Absolute.
  case unix(path: String)
  case loopback(Host, port: UInt16)

  package enum Host: String, Sendable, CaseIterable {
    case ipv4 = "127.0.0.1"
    case ipv6 = "[::1]"
    /// 127.0.0.1, and where nobody listens there [::1]: no resolver is asked.
    case localhost
  }

  /// What fits into `sockaddr_un`, without the zero byte (man 7 unix).
  private static let longestPath = 107

  package init(text: String) throws(RecordError) {
    if text.hasPrefix("unix:") {
      self = .unix(path: try Self.path(String(text.dropFirst(5)), of: text))
    } else if text.hasPrefix("http://") {
      self = try Self.loopback(text.dropFirst(7), of: text)
    } else if text.hasPrefix("https://") {
      throw Self.refusal(
        text, "engines speak HTTP without encryption, on this machine alone",
        hint: "write http://127.0.0.1:PORT")
    } else if text.hasPrefix("/") {
      throw Self.refusal(text, "it names no kind of socket", hint: "write unix:\(text.prefix(80))")
    } else {
      throw Self.refusal(text, "it begins with neither unix: nor http://", hint: Self.forms)
    }
  }

  package var text: String {
    switch self {
    case .unix(let path): "unix:\(path)"
    case .loopback(let host, let port): "http://\(host.rawValue):\(port)"
    }
  }

  private static let forms = "write unix:/PATH or http://127.0.0.1:PORT"

  private static func refusal(_ text: String, _ problem: String, hint: String) -> RecordError {
    RecordError(.invalid, at: "", "must be the address of an engine, and is \(quoted(text)): \(problem)", hint: hint)
  }

  private static func path(_ written: String, of text: String) throws(RecordError) -> String {
    guard written.utf8.first == UInt8(ascii: "/") else {
      throw refusal(text, "the path of the socket is not absolute", hint: "begin it with /")
    }
    guard !written.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F || $0 == "," }) else {
      throw refusal(
        text, "the path has a comma or a control character in it",
        hint: "addresses are separated by commas; give the socket another name")
    }
    // unix:///run/engine is what people write who know URLs.
    let path = written.split(separator: "/").reduce(into: "") { $0 += "/" + $1 }
    guard path.utf8.count <= longestPath else {
      throw refusal(
        text, "the path has \(path.utf8.count) bytes, and that of a Unix socket at most \(longestPath)",
        hint: "put the socket into a directory with a shorter name")
    }
    guard !path.isEmpty, written.utf8.last != UInt8(ascii: "/") else {
      throw refusal(text, "the path is that of a directory", hint: "name the socket in it")
    }
    return path
  }

  private static func loopback(_ rest: Substring, of text: String) throws(RecordError) -> EngineAddress {
    var authority = rest
    if let slash = rest.firstIndex(of: "/") {
      guard rest.index(after: slash) == rest.endIndex else {
        throw refusal(text, "a path stands behind the port", hint: "leave out '\(rest[slash...].prefix(40))'")
      }
      authority = rest[..<slash]
    }
    // The colons of an IPv6 address stand within its brackets.
    let afterBracket = authority.lastIndex(of: "]") ?? authority.startIndex
    let colon = authority[afterBracket...].firstIndex(of: ":")
    let name = authority[..<(colon ?? authority.endIndex)]
    guard let host = Host.allCases.first(where: { $0.rawValue.utf8.elementsEqual(name.lowercased().utf8) }) else {
      let port = colon.map { authority[$0...].dropFirst().prefix(5) } ?? "PORT"
      throw refusal(
        text,
        "\(quoted(String(name))) is none of \(Host.allCases.map(\.rawValue).joined(separator: ", ")), and "
          + "engines are spoken with on this machine alone, since the protocol has no passwords",
        hint: "bring the port here with 'ssh -N -L \(port):localhost:\(port) \(name.prefix(60))' and write "
          + "http://127.0.0.1:\(port)")
    }
    guard let colon else { throw refusal(text, "it has no port", hint: "write http://\(host.rawValue):PORT") }
    let digits = authority[colon...].dropFirst()
    guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = UInt16(digits), port > 0 else {
      throw refusal(text, "the port is no number from 1 to 65535", hint: "write http://\(host.rawValue):PORT")
    }
    return .loopback(host, port: port)
  }

  /// Whether both lead to one socket, as far as their texts tell: `localhost` is either of the two others.
  package func overlaps(_ other: EngineAddress) -> Bool {
    switch (self, other) {
    case (.unix(let a), .unix(let b)): a.utf8.elementsEqual(b.utf8)
    case (.loopback(let a, let port), .loopback(let b, let otherPort)):
      port == otherPort && (a == b || a == .localhost || b == .localhost)
    case (.unix, .loopback), (.loopback, .unix): false
    }
  }
}

/// The replicas of one model, an address each, written with commas between.
package struct EngineAddresses: TextValue {
  package let items: [EngineAddress]

  /// More is a mistake: each is a process with the whole model.
  private static let most = 64

  package init(text: String) throws(RecordError) {
    var items: [EngineAddress] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let trimmed = part.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed()
      guard !trimmed.isEmpty else {
        throw RecordError(
          .invalid, at: "", "must be addresses of engines with a comma between two, and is \(quoted(text))",
          hint: "an address is missing before or after a comma")
      }
      let address = try EngineAddress(text: String(trimmed))
      if let same = items.first(where: { $0.overlaps(address) }) {
        throw RecordError(
          .invalid, at: "", "names one engine twice, as \(quoted(same.text)) and \(quoted(address.text))",
          hint: "each replica has a socket of its own")
      }
      items.append(address)
    }
    guard items.count <= Self.most else {
      throw RecordError(
        .invalid, at: "", "names \(items.count) engines, and at most \(Self.most) are asked as one model")
    }
    self.items = items
  }

  package var text: String { items.map(\.text).joined(separator: ",") }
}
