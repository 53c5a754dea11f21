/// What a file is, told from its first bytes, where that is nothing which is read here: the things that lie under the name
/// of a model, an expert or a file of rows when a download or a clone went wrong.
///
/// Every reader asks this where its own format's mark is missing, so that nobody is told that "a value was expected, and
/// 'v' found" of a Git LFS pointer.
package enum FileKind: Sendable, Equatable {
  /// `size` of the file that it stands for, in bytes, where the pointer says.
  case gitLFSPointer(size: Int?)
  case webPage(title: String?)
  /// A line that servers send instead of a file: `Entry not found`, an XML or a JSON error.
  case serverMessage(String)
  case archive(Archive)
  case table(Table)
  /// Text in an encoding that is not UTF-8, told from its byte order mark or its zeros.
  case text(encoding: String)
  /// A model or an expert under the name of something else.
  case weights(Weights)
  case document(String)
  case program
  case empty
  /// Nothing but zeros, as a download has that was given its whole size before its first byte.
  case zeros

  package enum Archive: String, Sendable {
    case gzip, zip, bzip2, xz, zstd, lz4, tar, rar
    case sevenZip = "7z"
  }

  package enum Table: String, Sendable {
    case parquet = "Parquet"
    case arrow = "Arrow"
    case excel = "Excel"
    case hdf5 = "HDF5"
    case sqlite = "SQLite"
    case numpy = "NumPy"
  }

  package enum Weights: String, Sendable {
    case gguf = "GGUF"
    case ggml = "GGML"
    case torch = "PyTorch"
    case pickle = "pickle"
    case safetensors = "safetensors"
    case onnx = "ONNX"
    case tensorFlowLite = "TensorFlow Lite"
  }

  /// So many bytes of a file's beginning are enough; fewer are enough only where the file has no more.
  package static let examinedBytes = 4096

  /// What there is to see in the beginning of a file; nil: nothing that is known here, such as JSON or CSV.
  package init?(beginning bytes: some Collection<UInt8>) {
    let bytes = Array(bytes.prefix(Self.examinedBytes))
    if bytes.isEmpty {
      self = .empty
    } else if bytes.count >= 8, bytes.allSatisfy({ $0 == 0 }) {
      self = .zeros
    } else if let kind = Self.byMark(bytes) ?? Self.encoding(bytes) ?? Self.text(bytes) {
      self = kind
    } else {
      return nil
    }
  }

  // MARK: Marks

  private static let marks: [(mark: [UInt8], at: Int, kind: FileKind)] = [
    ([0x1F, 0x8B], 0, .archive(.gzip)),
    ([0x50, 0x4B, 0x05, 0x06], 0, .archive(.zip)),
    (Array("BZh".utf8), 0, .archive(.bzip2)),
    ([0xFD, 0x37, 0x7A, 0x58, 0x5A, 0x00], 0, .archive(.xz)),
    ([0x28, 0xB5, 0x2F, 0xFD], 0, .archive(.zstd)),
    ([0x04, 0x22, 0x4D, 0x18], 0, .archive(.lz4)),
    ([0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C], 0, .archive(.sevenZip)),
    (Array("Rar!".utf8) + [0x1A, 0x07], 0, .archive(.rar)),
    (Array("ustar".utf8), 257, .archive(.tar)),
    (Array("PAR1".utf8), 0, .table(.parquet)),
    (Array("ARROW1".utf8), 0, .table(.arrow)),
    ([0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1], 0, .table(.excel)),
    ([0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A], 0, .table(.hdf5)),
    (Array("SQLite format 3".utf8) + [0], 0, .table(.sqlite)),
    ([0x93] + Array("NUMPY".utf8), 0, .table(.numpy)),
    (Array("GGUF".utf8), 0, .weights(.gguf)),
    (Array("lmgg".utf8), 0, .weights(.ggml)),
    (Array("fmgg".utf8), 0, .weights(.ggml)),
    (Array("tjgg".utf8), 0, .weights(.ggml)),
    (Array("algg".utf8), 0, .weights(.ggml)),
    (Array("TFL3".utf8), 4, .weights(.tensorFlowLite)),
    (Array("%PDF-".utf8), 0, .document("a PDF")),
    ([0x89, 0x50, 0x4E, 0x47], 0, .document("a PNG picture")),
    ([0xFF, 0xD8, 0xFF], 0, .document("a JPEG picture")),
    ([0x7F, 0x45, 0x4C, 0x46], 0, .program),
  ]

  private static func byMark(_ bytes: [UInt8]) -> FileKind? {
    // The length of the header in 8 bytes, and the header's brace, which may follow blanks only at its end. Before all
    // others: the length may look like the mark of a pickle or of gzip.
    if bytes.count > 9, bytes[8] == UInt8(ascii: "{"), bytes[4..<8].allSatisfy({ $0 == 0 }),
      bytes[0..<4] != [0, 0, 0, 0]
    {
      return .weights(.safetensors)
    }
    if bytes.starts(with: [0x50, 0x4B, 0x03, 0x04]) { return zip(bytes) }
    for (mark, offset, kind) in marks where bytes.dropFirst(offset).starts(with: mark) { return kind }
    // Arrow's stream, as `datasets` writes it: a continuation mark and the length of a schema below 64 KiB.
    if bytes.count > 7, bytes.starts(with: [0xFF, 0xFF, 0xFF, 0xFF]), bytes[6] == 0, bytes[7] == 0 {
      return .table(.arrow)
    }
    // A pickle begins with its protocol, 2 to 5, and what it makes first.
    if bytes.count > 2, bytes[0] == 0x80, (2...5).contains(bytes[1]) { return .weights(.pickle) }
    // A protocol buffer: the format's version, then the name of what wrote it, of some letters.
    if bytes.count > 8, bytes[0] == 0x08, (1...31).contains(bytes[1]), bytes[2] == 0x12, (2...64).contains(bytes[3]),
      bytes.dropFirst(4).prefix(Int(bytes[3])).allSatisfy({ (0x20...0x7E).contains($0) })
    {
      return .weights(.onnx)
    }
    return nil
  }

  /// `torch.save`, a spreadsheet and NumPy's archive are zip archives; the first entry's name tells which.
  private static func zip(_ bytes: [UInt8]) -> FileKind {
    guard bytes.count > 30 else { return .archive(.zip) }
    let length = Int(bytes[26]) | Int(bytes[27]) << 8
    let name = String(decoding: bytes[30...].prefix(length), as: UTF8.self)
    if name.hasSuffix("/data.pkl") || name.hasSuffix("/.format_version") { return .weights(.torch) }
    if name.hasSuffix(".npy") { return .table(.numpy) }
    if name == "[Content_Types].xml" || name.hasPrefix("xl/") || name.hasPrefix("_rels/") { return .table(.excel) }
    return .archive(.zip)
  }

  // MARK: Texts

  private static func encoding(_ bytes: [UInt8]) -> FileKind? {
    if bytes.starts(with: [0xFF, 0xFE, 0x00, 0x00]) { return .text(encoding: "UTF-32LE") }
    if bytes.starts(with: [0x00, 0x00, 0xFE, 0xFF]) { return .text(encoding: "UTF-32BE") }
    if bytes.starts(with: [0xFF, 0xFE]) { return .text(encoding: "UTF-16LE") }
    if bytes.starts(with: [0xFE, 0xFF]) { return .text(encoding: "UTF-16BE") }
    // Without a mark: of text that is mostly ASCII every second byte is zero.
    let pairs = bytes.prefix(64)
    guard pairs.count >= 8 else { return nil }
    let (even, odd) = (0..<pairs.count / 2).reduce(into: (0, 0)) { zeros, index in
      zeros.0 += pairs[2 * index] == 0 ? 1 : 0
      zeros.1 += pairs[2 * index + 1] == 0 ? 1 : 0
    }
    let isText = pairs.allSatisfy { $0 == 0 || (0x09...0x0D).contains($0) || (0x20...0x7E).contains($0) }
    guard isText else { return nil }
    if even == 0, odd == pairs.count / 2 { return .text(encoding: "UTF-16LE") }
    if odd == 0, even == pairs.count / 2 { return .text(encoding: "UTF-16BE") }
    return nil
  }

  private static func text(_ bytes: [UInt8]) -> FileKind? {
    let text = String(decoding: bytes, as: UTF8.self)
    let start = text.drop { $0.isWhitespace || $0 == "\u{FEFF}" }
    let lowered = start.prefix(512).lowercased()
    if start.hasPrefix("version https://git-lfs.github.com/spec/") {
      let size = start.split(separator: "\n").first { $0.hasPrefix("size ") }
      return .gitLFSPointer(size: size.flatMap { Int($0.dropFirst(5).filter { !$0.isWhitespace }) })
    }
    if lowered.hasPrefix("<!doctype html") || lowered.hasPrefix("<html") || lowered.hasPrefix("<head")
      || (lowered.hasPrefix("<!--") && lowered.contains("<html"))
    {
      return .webPage(title: title(of: String(start)))
    }
    if lowered.hasPrefix("<?xml") || lowered.hasPrefix("<error") { return .serverMessage(firstLine(start)) }
    // Short enough to be all there is: what servers answer where a file is missing, moved or not for everyone.
    if bytes.count < 512, messages.contains(where: { lowered.hasPrefix($0) }) {
      return .serverMessage(firstLine(start))
    }
    if lowered.hasPrefix("#!/") { return .program }
    return nil
  }

  private static let messages = [
    "entry not found", "not found", "404", "401", "403", "invalid username or password", "access to ", "access denied",
    "forbidden", "unauthorized", "repository not found", "repository is gated", "bad gateway", "temporary redirect",
    "found. redirecting", "moved permanently", "too many requests", "rate limit", "internal server error",
    "service unavailable", "{\"error\":",
  ]

  private static func title(of page: String) -> String? {
    guard let found = page.firstMatch(of: /<title[^>]*>([^<]*)/.ignoresCase()) else { return nil }
    let title = found.1.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    return title.isEmpty ? nil : shown(title)
  }

  private static func firstLine(_ text: Substring) -> String { shown(text.prefix { !$0.isNewline }) }

  /// Short, and without what could upset a terminal.
  private static func shown(_ text: some StringProtocol) -> String {
    let scalars = text.unicodeScalars.prefix(80).map { scalar -> Unicode.Scalar in
      switch scalar.properties.generalCategory {
      case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: "\u{FFFD}"
      default: scalar
      }
    }
    var shown = String.UnicodeScalarView()
    shown.append(contentsOf: scalars)
    return String(shown) + (text.unicodeScalars.count > 80 ? "…" : "")
  }
}

extension FileKind: CustomStringConvertible {
  /// Goes on behind "this is": what it is, and what to do.
  package var description: String { advice.map { "\(name); \($0)" } ?? name }

  /// What it is, with its article.
  package var name: String {
    switch self {
    case .gitLFSPointer(let size):
      "a Git LFS pointer, not the file "
        + (size.map { "of \($0) bytes that it stands for" } ?? "that it stands for")
    case .webPage(let title): "a web page" + (title.map { ", with the title '\($0)'" } ?? "")
    case .serverMessage(let text): "a server's message: '\(text)'"
    case .archive(.xz): "an xz archive"
    case .archive(let archive): "a \(archive.rawValue) archive"
    case .table(.arrow): "an Arrow table"
    case .table(.excel): "an Excel table"
    case .table(.hdf5): "an HDF5 file"
    case .table(.sqlite): "an SQLite database"
    case .table(.numpy): "a NumPy array"
    case .table(.parquet): "a Parquet table"
    case .text(let encoding): "text in \(encoding)"
    case .weights(.pickle): "a pickle"
    case .weights(.onnx): "an ONNX file"
    case .weights(let weights): "a \(weights.rawValue) file"
    case .document(let name): name
    case .program: "a program"
    case .empty: "an empty file"
    case .zeros: "a file of zeros, as an unfinished download leaves it"
    }
  }

  /// What makes the file that was meant of it; nil where that depends on what was meant.
  package var advice: String? {
    switch self {
    case .gitLFSPointer: "run 'git lfs pull' where it was cloned"
    case .webPage, .serverMessage: "download the file itself"
    case .archive(let archive): "unpack it first: \(archive.command)"
    case .text(let encoding): "convert it: iconv -f \(encoding) -t UTF-8"
    case .empty, .zeros: "copy or download it again"
    case .table, .weights, .document, .program: nil
    }
  }
}

extension FileKind.Archive {
  /// What unpacks it, up to its name.
  package var command: String {
    switch self {
    case .gzip: "gunzip"
    case .zip: "unzip"
    case .bzip2: "bunzip2"
    case .xz: "unxz"
    case .zstd: "unzstd"
    case .lz4: "unlz4"
    case .tar: "tar -xf"
    case .rar: "unrar x"
    case .sevenZip: "7z x"
    }
  }
}
