import Experts
import TestSupport
import Testing

/// The one grammar of what clients call that which is to answer them.
@Suite struct ServedNameTests {
  @Test(arguments: [
    ("arc", "arc"), ("arc@7", "arc@7"), ("expert:science@2", "expert:science@2"), ("tiny/arc", "tiny/arc"),
    ("meta-llama/Llama-3.1-8B/arc@7", "meta-llama/Llama-3.1-8B/arc@7"),
    ("b=0.30+a@2=0.7", "a@2=0.7+b=0.3"), ("a=0.5#delta", "a=0.5#delta"), ("a=1.0", "a=1"),
    ("a@2=1+a=1+a@10=1#sum", "a=1+a@2=1+a@10=1#sum"), ("a=-0.0", "a=0"), ("a=-1.25+b=3", "a=-1.25+b=3"),
    // Where the weights sum to 1 both rules are one.
    ("a=0.7+b=0.3#sum", "a=0.7+b=0.3"), ("a=0.7+b=0.3#delta", "a=0.7+b=0.3"),
    ("a=0.33333333+b=0.33333333#delta", "a=0.33333333+b=0.33333333#delta"),
  ])
  func aNameIsWrittenInItsNormalForm(text: String, normal: String) throws {
    let name = try ServedName(text)
    #expect(name.description == normal)
    #expect(try ServedName(normal) == name)
  }

  @Test func whatWasWrittenIsReadAsTheSame() throws {
    var random = SplitMix(seed: 15)
    for _ in 0..<4_000 {
      let text = Self.anyName(&random)
      let name = try ServedName(text)
      #expect(try ServedName(name.description) == name, "\(text)")
      #expect(try ServedName(name.key).choice == name.choice, "\(text)")
    }
  }

  /// The order of terms and zeros at the end of weights change nothing.
  @Test func equalMixturesHaveOneKey() throws {
    var random = SplitMix(seed: 16)
    for _ in 0..<1_000 {
      let terms = (0..<1 + random.below(16)).map { "e\($0)@\(1 + random.below(3))=0.\(1 + random.below(999_999))" }
      let mixed = terms.map { ($0 + (random.below(2) == 0 ? "0" : ""), random.next()) }.sorted { $0.1 < $1.1 }.map(\.0)
      #expect(
        try ServedName(terms.joined(separator: "+") + "#sum").key
          == ServedName(mixed.joined(separator: "+") + "#sum").key)
    }
  }

  @Test func weightsAreTheDecimalNumbersThatWereWritten() throws {
    #expect(try #require(DecimalWeight("0.7")).value == 0.7)
    #expect(try #require(DecimalWeight("-12.345678")).value == -12.345678)
    #expect(try #require(DecimalWeight("0.00000001")).value == 1e-8)
    #expect(try #require(DecimalWeight("99999999")).value == 99_999_999)
    for text in [
      "", "-", ".5", "1.", "+1", "01", "1e3", "0x1", "nan", "inf", "1,5", "--1", "0.123456789", "123456789", "1.2.3",
      "١",
    ] {
      #expect(DecimalWeight(text) == nil, "\(text)")
    }
  }

  @Test(arguments: [
    ("", 1, "there is no name"), ("tiny/", 6, "there is no name"), ("/arc", 1, "must be a model's name"),
    ("a b/arc", 1, "must be a model's name"),
    ("arc task", 1, "'arc task' is no name"), ("..", 1, "'..' is no name"), ("expert:", 8, "'' is no expert's name"),
    ("expert:base", 8, "'base' has a meaning of its own"),
    ("arc@", 5, "'' must be a version or a generation"), ("arc@01", 5, "'01' must be"),
    ("arc@+1", 1, "'arc@' has no weight"),
    ("arc@0", 5, "'0' must be"), ("arc@1234567890123456789", 5, "must be a version"),
    ("a=0.5+b", 7, "'b' has no weight"), ("a=0.5+", 7, "'' has no weight"), ("a=0.5++b=1", 7, "'' has no weight"),
    ("a=0.5=1", 3, "'0.5=1' is no weight"), ("a=0.123456789", 3, "at most 8 digits"),
    ("a=1+b=2+a=1", 9, "'a' is in the mixture already"), ("a=0.5#max", 6, "sum or delta, and is by 'max'"),
    ("a=0.5#", 6, "is by ''"), ("arc#sum", 1, "'arc' has no weight"), ("a@2=x", 5, "'x' is no weight"),
    ("expert:a=0.5", 8, "'a=0.5' is no expert's name"), ("tiny/a=0.5+b@=1", 14, "'' must be"),
  ])
  func whatIsWrongIsSaidWithItsPlace(text: String, position: Int, said: String) {
    let error = #expect(throws: ServedNameError.self) { try ServedName(text) }
    #expect(error?.position == position)
    #expect(error?.description.contains(said) == true, "\(error?.description ?? "")")
  }

  @Test func thereAreAtMostSixteenTerms() throws {
    let terms = (1...17).map { "e\($0)=0.1" }
    _ = try ServedName(terms.dropLast().joined(separator: "+"))
    let error = #expect(throws: ServedNameError.self) { try ServedName(terms.joined(separator: "+")) }
    #expect(error?.description.contains("has 17 terms, and at most 16 are mixed") == true)
  }

  @Test func aLongNameIsRefusedByItsLength() {
    let error = #expect(throws: ServedNameError.self) { try ServedName(String(repeating: "a", count: 5_000)) }
    #expect(error?.description.contains("it has 5000 bytes, and at most 2048 are read") == true)
    #expect((error?.description.utf8.count ?? .max) < 300)
  }

  private static func anyName(_ random: inout SplitMix) -> String {
    func name(_ limit: Int) -> String {
      let letters = Array("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789")
      let others = letters + Array("._-")
      let count = 1 + random.below(limit)
      return "x" + String((1..<max(count, 2)).map { _ in others[random.below(others.count)] })
    }
    func number() -> String { random.below(3) == 0 ? "@\(1 + random.below(1_000_000))" : "" }
    func weight() -> String {
      let sign = random.below(4) == 0 ? "-" : ""
      switch random.below(3) {
      case 0: return sign + "\(random.below(100_000_000))"
      case 1: return sign + "0.\(random.below(10_000_000))0"
      default: return sign + "\(1 + random.below(9))." + "\(random.below(10_000_000))"
      }
    }
    let base = ["", "", "tiny/", "org/model-1/", "/models/a.gguf/"][random.below(5)]
    switch random.below(3) {
    case 0: return base + name(139) + number()
    case 1: return base + "expert:" + name(64) + number()
    default:
      let terms = (0..<1 + random.below(16)).map { "\(name(20))\($0)\(number())=\(weight())" }
      return base + terms.joined(separator: "+") + ["", "#sum", "#delta"][random.below(3)]
    }
  }
}
