/// A file that is a part of an expert, by its name: `math-00001-of-00002.safetensors`.
package struct ExpertPart: Sendable, Equatable {
  /// The expert's name without its number: `math`.
  package let stem: String
  /// From 1 on.
  package let number: Int
  package let count: Int
  private let digits: Int

  private static let ending = ".safetensors"
  package static let indexEnding = ".safetensors.index.json"

  /// Nil for a name that is none of a part, and for the only one of its kind.
  package init?(fileName: String) {
    guard let match = fileName.wholeMatch(of: /(.+)-([0-9]{1,6})-of-([0-9]{1,6})\.safetensors/),
      let number = Int(match.2), let count = Int(match.3), count > 1, (1...count).contains(number)
    else { return nil }
    self.stem = String(match.1)
    self.number = number
    self.count = count
    digits = match.2.utf8.count
  }

  package var indexName: String { stem + Self.indexEnding }

  private func name(of number: Int) -> String {
    func padded(_ number: Int) -> String {
      String(repeating: "0", count: max(0, digits - "\(number)".utf8.count)) + "\(number)"
    }
    return "\(stem)-\(padded(number))-of-\(padded(count))\(Self.ending)"
  }

  /// The first and the last part, for messages.
  package var range: String { "'\(name(of: 1))' to '\(name(of: count))'" }

  /// What makes one file of them where there is no index, to be run where they are.
  package var joining: String {
    let pattern = "\(stem)-*-of-\(name(of: count).dropLast(Self.ending.utf8.count).suffix(digits))\(Self.ending)"
    return "python3 -c \"from glob import glob; from safetensors import safe_open as o; from safetensors.torch import "
      + "load_file, save_file; f = sorted(glob('\(pattern)')); t = {}; [t.update(load_file(p)) for p in f]; "
      + "save_file(t, '\(stem)\(Self.ending)', o(f[0], 'pt').metadata())\""
  }
}
