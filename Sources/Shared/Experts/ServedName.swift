package import Multipliers
import Records

/// What a client calls that which is to answer it: the model of an OpenAI request, the name that an engine resolves, the
/// argument of a command. One grammar, read and written here and nowhere else:
///
///     name       = [BASE "/"] (choice | "expert:" reference | mixture)
///     choice     = reference                            TASK[@GENERATION], else EXPERT[@VERSION]
///     reference  = NAME ["@" NUMBER]
///     mixture    = term *("+" term) ["#sum" | "#delta"]
///     term       = reference "=" WEIGHT                 experts only
///
/// BASE is a model's name, path or id, and may have slashes of its own; no other part has any. A weight is a decimal number
/// of at most 8 digits, such as 0.7, -0.25 or 1.
///
/// A value is in its normal form: terms by name and version, weights without zeros at their end, and no ending where the
/// weights sum to 1, since both rules agree there. So equal values have one text, which is the key of what was resolved.
package struct ServedName: Hashable, Sendable, CustomStringConvertible {
  /// A name, and which of its versions or generations.
  package struct Reference: Hashable, Sendable, CustomStringConvertible {
    package let name: String
    /// From 1; nil: the one that is active or served.
    package let number: Int64?

    package var description: String { number.map { "\(name)@\($0)" } ?? name }
  }

  /// An expert, and its coefficient.
  package struct Term: Hashable, Sendable, CustomStringConvertible {
    package let expert: Reference
    package let weight: DecimalWeight

    package var description: String { "\(expert)=\(weight)" }
  }

  /// A mixture of one's own.
  package struct Expression: Hashable, Sendable {
    /// By name and version.
    package let terms: [Term]
    /// Nil: by the experts' rescale, or of no matter.
    package let mix: MixRule?
  }

  package enum Choice: Hashable, Sendable {
    /// A task, else an expert.
    case named(Reference)
    /// An expert, whatever tasks there are.
    case expert(Reference)
    case mixture(Expression)
  }

  package static let maximumTerms = 16
  package static let maximumBytes = 2048
  package static let expertPrefix = "expert:"

  /// What stood before the last slash.
  package let base: String?
  package let choice: Choice

  /// The same without its base.
  package var key: String {
    switch choice {
    case .named(let reference): return reference.description
    case .expert(let reference): return Self.expertPrefix + reference.description
    case .mixture(let expression):
      return expression.terms.map(\.description).joined(separator: "+")
        + (expression.mix.map { "#\($0.rawValue)" } ?? "")
    }
  }

  package var description: String { base.map { "\($0)/\(key)" } ?? key }
}

/// A decimal number of few digits: what was written is what is meant and shown, which a binary fraction is not.
package struct DecimalWeight: Hashable, Sendable, Comparable, CustomStringConvertible {
  package static let maximumDigits = 8
  /// How many of these make 1.
  private static let one: Int64 = 100_000_000

  /// In units of 10⁻⁸.
  private let units: Int64

  /// Nil for what is no such number: `[-]DIGITS[.DIGITS]` without zeros before the first digit.
  package init?(_ text: some StringProtocol) {
    let isNegative = text.hasPrefix("-")
    let parts = text.dropFirst(isNegative ? 1 : 0).split(separator: ".", omittingEmptySubsequences: false)
    guard let whole = parts.first, parts.count <= 2, parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy(isDigit) })
    else { return nil }
    guard whole.utf8.count == 1 || whole.utf8.first != UInt8(ascii: "0") else { return nil }
    let fraction = parts.count == 2 ? Array(parts[1].utf8) : []
    let digits = (whole.utf8.elementsEqual("0".utf8) ? 0 : whole.utf8.count) + fraction.count
    guard digits <= Self.maximumDigits else { return nil }
    var units: Int64 = 0
    let padding = repeatElement(UInt8(ascii: "0"), count: Self.maximumDigits - fraction.count)
    for digit in Array(whole.utf8) + fraction + padding { units = units * 10 + Int64(digit - UInt8(ascii: "0")) }
    self.units = isNegative ? -units : units
  }

  package var value: Double { Double(units) / Double(Self.one) }

  package static func < (a: Self, b: Self) -> Bool { a.units < b.units }

  static func sumIsOne(_ weights: some Sequence<DecimalWeight>) -> Bool {
    // Sixteen of them at most, each below 10¹⁶.
    weights.reduce(0) { $0 + $1.units } == one
  }

  package var description: String {
    let (whole, fraction) = units.magnitude.quotientAndRemainder(dividingBy: UInt64(Self.one))
    var digits = String(fraction)
    digits = String(repeating: "0", count: Self.maximumDigits - digits.utf8.count) + digits
    while digits.last == "0" { digits.removeLast() }
    return (units < 0 ? "-" : "") + "\(whole)" + (digits.isEmpty ? "" : "." + digits)
  }
}

private func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

// MARK: - Reading

extension ServedName {
  package init(_ text: String) throws(ServedNameError) {
    guard text.utf8.count <= Self.maximumBytes else {
      throw ServedNameError(text, .tooLong, at: text.startIndex)
    }
    var rest = text[...]
    var base: String?
    if let slash = text.lastIndex(of: "/") {
      base = String(text[..<slash])
      rest = text[text.index(after: slash)...]
      guard Self.isBase(text[..<slash]) else { throw ServedNameError(text, .base, at: text.startIndex) }
    }
    self.base = base
    guard !rest.isEmpty else { throw ServedNameError(text, .empty, at: rest.startIndex) }
    if rest.hasPrefix(Self.expertPrefix) {
      let name = rest.dropFirst(Self.expertPrefix.count)
      choice = .expert(try Self.reference(name, isExpert: true, in: text))
    } else if rest.contains(where: { $0 == "=" || $0 == "+" || $0 == "#" }) {
      choice = .mixture(try Self.expression(rest, in: text))
    } else {
      choice = .named(try Self.reference(rest, isExpert: false, in: text))
    }
  }

  /// Of what stands in paths and in names of hubs; nothing is opened by it.
  private static func isBase(_ text: Substring) -> Bool {
    !text.isEmpty && text.utf8.count <= 512 && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
  }

  private static func reference(
    _ text: Substring, isExpert: Bool, in whole: String
  ) throws(ServedNameError) -> Reference {
    let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
    let name = String(parts.first ?? "")
    guard isExpert ? ExpertName.isValid(name) : TaskName.isValid(name) else {
      throw ServedNameError(whole, isExpert ? .expertName(name) : .name(name), at: text.startIndex)
    }
    guard parts.count == 2 else { return Reference(name: name, number: nil) }
    // One spelling of each: not 01, not +1.
    let digits = parts[1]
    guard !digits.isEmpty, digits.utf8.count <= 18, digits.utf8.allSatisfy(isDigit), digits.first != "0",
      let number = Int64(digits)
    else { throw ServedNameError(whole, .number(String(digits)), at: digits.startIndex) }
    return Reference(name: name, number: number)
  }

  private static func expression(_ text: Substring, in whole: String) throws(ServedNameError) -> Expression {
    var text = text
    var mix: MixRule?
    if let mark = text.firstIndex(of: "#") {
      let ending = text[text.index(after: mark)...]
      mix = MixRule(rawValue: String(ending))
      guard mix != nil else { throw ServedNameError(whole, .ending(String(ending)), at: mark) }
      text = text[..<mark]
    }
    let parts = text.split(separator: "+", omittingEmptySubsequences: false)
    var terms: [Term] = []
    for (index, part) in parts.enumerated() {
      guard index < maximumTerms else { throw ServedNameError(whole, .terms(parts.count), at: part.startIndex) }
      guard let equals = part.firstIndex(of: "=") else {
        throw ServedNameError(whole, .noWeight(String(part)), at: part.startIndex)
      }
      let number = part[part.index(after: equals)...]
      let expert = try reference(part[..<equals], isExpert: true, in: whole)
      guard let weight = DecimalWeight(number) else {
        throw ServedNameError(whole, .weight(String(number)), at: number.startIndex)
      }
      guard !terms.contains(where: { $0.expert == expert }) else {
        throw ServedNameError(whole, .duplicate(expert.description), at: part.startIndex)
      }
      terms.append(Term(expert: expert, weight: weight))
    }
    terms.sort { a, b in
      a.expert.name == b.expert.name
        ? a.expert.number ?? 0 < b.expert.number ?? 0
        : a.expert.name.utf8.lexicographicallyPrecedes(b.expert.name.utf8)
    }
    return Expression(terms: terms, mix: DecimalWeight.sumIsOne(terms.map(\.weight)) ? nil : mix)
  }
}

/// What is wrong with a name, and where.
package struct ServedNameError: Error, Equatable, CustomStringConvertible {
  package enum Problem: Equatable, Sendable {
    case tooLong
    case base
    case empty
    case name(String)
    case expertName(String)
    case number(String)
    case ending(String)
    case terms(Int)
    case noWeight(String)
    case weight(String)
    case duplicate(String)
  }

  package let text: String
  package let problem: Problem
  /// Which byte of the text, from 1.
  package let position: Int

  init(_ text: String, _ problem: Problem, at index: String.Index) {
    self.text = text
    self.problem = problem
    position = text.utf8.distance(from: text.startIndex, to: index) + 1
  }

  package static let grammar = "TASK[@GENERATION], expert:NAME[@VERSION], or a mixture such as math=0.7+code@2=0.3"

  package var description: String {
    "\(quoted(text)) names nothing that can be served: at character \(position), \(explanation)"
  }

  private var explanation: String {
    switch problem {
    case .tooLong: "it has \(text.utf8.count) bytes, and at most \(ServedName.maximumBytes) are read"
    case .base: "what stands before '/' must be a model's name, path or id"
    case .empty: "there is no name; a name is \(Self.grammar)"
    case .name(let name): "\(quoted(name)) is no name: a task's has \(TaskName.rule)"
    case .expertName(let name):
      ExpertName.reserved.contains(name)
        ? "\(quoted(name)) has a meaning of its own, and no expert is called so"
        : "\(quoted(name)) is no expert's name, which has \(ExpertName.rule)"
    case .number(let number): "\(quoted(number)) must be a version or a generation, a whole number from 1"
    case .ending(let ending): "'#' must be followed by \(MixRule.listed), and is by \(quoted(ending))"
    case .terms(let count): "the mixture has \(count) terms, and at most \(ServedName.maximumTerms) are mixed"
    case .noWeight(let term): "\(quoted(term)) has no weight; a term of a mixture is NAME=WEIGHT or NAME@VERSION=WEIGHT"
    case .weight(let weight):
      "\(quoted(weight)) is no weight, which is a decimal number of at most \(DecimalWeight.maximumDigits) digits, "
        + "such as 0.7"
    case .duplicate(let expert): "\(quoted(expert)) is in the mixture already"
    }
  }
}

extension MixRule {
  fileprivate static var listed: String { allCases.map(\.rawValue).joined(separator: " or ") }
}
