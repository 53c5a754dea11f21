import ModelFormats

/// How the names of a file become those of a model's matrices, where all of them lack or have the same thing too much.
struct NameMending: Equatable {
  let wrapper: WrapperPrefix
  /// What all names lack, in front and at the end.
  let front: String
  let end: String

  /// Names of a base without its head, and of modules instead of their parameter.
  private static let lacking = [("", ""), ("", ".weight"), ("model.", ""), ("model.", ".weight")]

  /// Nil where nothing makes every name one that `fits`, each another one.
  init?(of names: [String], fits: (String) -> Bool) {
    for (front, end) in Self.lacking {
      guard let wrapper = WrapperPrefix(of: names, fits: { fits(front + $0 + end) }) else { continue }
      self.wrapper = wrapper
      self.front = front
      self.end = end
      guard Set(names.map { self($0) }).count == names.count else { return nil }
      return
    }
    return nil
  }

  func callAsFunction(_ name: String) -> String { front + wrapper.strip(name) + end }

  /// `example` is one of the file's names.
  func warnings(example: String) -> [ExpertWarning] {
    var warnings: [ExpertWarning] = []
    if !wrapper.isEmpty { warnings.append(.wrapperPrefix(wrapper, example: example)) }
    let lacking = [front, end].filter { !$0.isEmpty }.map { "'\($0)'" }
    if !lacking.isEmpty {
      warnings.append(
        ExpertWarning(
          .shortNames,
          "its names lack \(lacking.joined(separator: " and ")), and are read with: '\(example)' is '\(self(example))'")
      )
    }
    return warnings
  }
}
