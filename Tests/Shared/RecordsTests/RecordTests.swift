import StrictJSON
import Testing

@testable import Records

private enum Colour: String, Choice { case red, green, deepBlue = "deep-blue" }

private struct Inner: Record {
  @Setting("low") var low = 0.0
  @Setting("high") var high = 1.0
  init() {}
  mutating func validate() throws(RecordError) {
    guard low < high else { throw RecordError(.invalid, at: "low", "is \(low), not below 'high', \(high)") }
  }
}

private struct Sample: Record {
  @Setting("its name") var name: String
  @Setting("rows of a step", 1...4_096) var batch = 10
  @Setting("at its highest", 1e-9...1_000) var learningRate = 0.01
  @Setting("layers", 0...100) var layers: [Int]?
  @Setting("of every random number") var seed: UInt64 = 1
  @Setting("which", formerly: ["color"]) var colour = Colour.red
  @Setting("only these") var experts: [String]?
  @Setting("the interval") var range = Inner()
  @Setting("whether", name: "normalized", formerly: ["normalised"]) var isNormalised = false
  init() {}
}

private struct Outer: Record {
  @Setting("whose") var owner: String
  @Included(renaming: ["batch": "size"], without: ["seed"]) var sample = Sample()
  init() {}
}

/// As a file that a person writes has it.
private struct Settings: Record {
  @Setting("after which it ends", 0...60, name: "limit_seconds") var limit: Duration = .seconds(2)
  @Setting("texts") var stop: OneOrMore<String>?
  @Setting("nothing, by default") var title = ""
  @Setting("a word in brackets") var word: Bracketed?
  @Setting("the interval") var range = Inner()
  @Setting("another interval, where there is one") var other: Inner?
  @Included var widened = Self.widened
  init() {}

  private static var widened: Part {
    var part = Part()
    part.width = 7
    return part
  }

  struct Part: Record {
    @Setting("how wide") var width = 1
    init() {}
  }
}

private struct Bracketed: TextValue {
  let word: String
  init(text: String) throws(RecordError) {
    guard text.hasPrefix("["), text.hasSuffix("]"), text.count > 2 else {
      throw RecordError(.invalid, at: "", "must stand in brackets, and is \(quoted(text))", hint: "write [word]")
    }
    word = String(text.dropFirst().dropLast())
  }
  var text: String { "[\(word)]" }
}

private func json(_ text: String) throws -> JSONValue { try parseJSON(text) }

@Suite struct RecordTests {
  private let strict = RecordReader(unknownMembers: .refused)

  private func problem(_ text: String) throws -> String {
    let value = try json(text)
    do throws(RecordError) {
      let sample: Sample = try strict.read(value)
      return "read \(sample.name)"
    } catch { return error.description }
  }

  @Test func whatIsAbsentIsTheDefault() throws {
    let sample: Sample = try strict.read(json(#"{"name": "a", "batch": 3, "layers": null}"#))
    #expect(sample.name == "a" && sample.batch == 3 && sample.learningRate == 0.01 && sample.layers == nil)
    #expect(sample.colour == .red && sample.range.high == 1)
    #expect(sample.given == ["name", "batch"])
    #expect(sample.$batch.isGiven && !sample.$learningRate.isGiven)
  }

  @Test func whatIsWrittenReadsBackTheSame() throws {
    var sample = Sample()
    sample.name = "b"
    sample.seed = .max
    sample.layers = [1, 2]
    sample.colour = .deepBlue
    sample.range.low = -1
    let written = RecordWriter.json(sample)
    #expect(
      written
        == (try json(
          #"{"name":"b","batch":10,"learning_rate":0.01,"layers":[1,2],"seed":-1,"colour":"deep-blue","#
            + #""range":{"low":-1.0,"high":1.0},"normalized":false}"#)))
    #expect(try strict.read(written) == sample)
  }

  @Test func errorsNameThePlaceAndWhatWasExpected() throws {
    #expect(try problem(#"{}"#) == "'name' is missing")
    #expect(try problem(#"{"name": 1}"#) == "'name' must be a string, and is the integer 1")
    #expect(try problem(#"{"name": "a", "batch": 0}"#) == "'batch' must be from 1 to 4096, and is 0")
    #expect(try problem(#"{"name": "a", "layers": []}"#) == "'layers' is an empty list")
    #expect(
      try problem(#"{"name": "a", "layers": [1, 101]}"#)
        == "'layers' must be a list of integers; item 1 must be from 0 to 100, and is 101")
    #expect(
      try problem(#"{"name": "a", "colour": "gren"}"#)
        == "'colour' must be one of red, green, deep-blue, and is 'gren'; did you mean 'green'?")
    #expect(try problem(#"{"name": "a", "batsh": 1}"#) == "has no member 'batsh'; did you mean 'batch'?")
    #expect(
      try problem(#"{"name": "a", "range": {"hihg": 1}}"#) == "'range' has no member 'hihg'; did you mean 'high'?")
    #expect(try problem(#"{"name": "a", "range": {"low": 2}}"#) == "'range.low' is 2.0, not below 'high', 1.0")
    #expect(try problem(#"[]"#) == "must be an object, and is a list")
  }

  @Test func anOlderSpellingIsReadAndNeverWritten() throws {
    let sample: Sample = try strict.read(json(#"{"name": "a", "normalised": true, "color": "green"}"#))
    #expect(sample.isNormalised && sample.colour == .green)
    #expect(RecordWriter.json(sample)["normalized"] == true && RecordWriter.json(sample)["normalised"] == nil)
    #expect(
      try problem(#"{"name": "a", "normalised": true, "normalized": true}"#)
        == "'normalized' is given twice, as 'normalized' and 'normalised'")
  }

  @Test func oneIsLaidOverAnother() throws {
    var base = Sample()
    base.name = "base"
    base.batch = 7
    base.range.high = 5
    let over = try strict.read(json(#"{"learning_rate": 1, "range": {"low": 2}}"#), over: base)
    #expect(over.name == "base" && over.batch == 7 && over.learningRate == 1)
    #expect(over.range.low == 2 && over.range.high == 5)
    #expect(over.given == ["learning_rate", "range"])
  }

  @Test func aDeclarationIsReadOnceAndSaysAll() throws {
    let members = Sample.members
    #expect(
      members.map(\.name) == [
        "name", "batch", "learning_rate", "layers", "seed", "colour", "experts", "range", "normalized",
      ])
    let batch = try #require(members.first { $0.name == "batch" })
    #expect(batch.summaryWithDefault == "rows of a step; default 10" && !batch.isRequired)
    #expect(batch.type == .integer(1...4096))
    #expect(members[0].isRequired && members[0].summaryWithDefault == "its name")
    #expect(members[2].summaryWithDefault == "at its highest; default 0.01")
    #expect(members[5].type == .choice(["red", "green", "deep-blue"]))
    #expect(members[5].summaryWithDefault == "which; default red")
    #expect(members[8].summaryWithDefault == "whether")
  }

  @Test func anIncludedRecordIsPartOfTheOneThatIncludesIt() throws {
    let outer: Outer = try strict.read(json(#"{"owner": "o", "name": "a", "size": 5}"#))
    #expect(outer.sample.name == "a" && outer.sample.batch == 5 && outer.given == ["owner", "name", "size"])
    #expect(Outer.members.map(\.name).prefix(3) == ["owner", "name", "size"])
    #expect(!Outer.members.contains { $0.name == "seed" || $0.name == "batch" })
    let written = RecordWriter.object(outer)
    #expect(written["size"] == 5 && written["seed"] == nil && written["sample"] == nil)
    let again: Outer = try strict.read(.object(written))
    #expect(again == outer)
    let problem = #expect(throws: RecordError.self) {
      let _: Outer = try self.strict.read(json(#"{"owner": "o", "name": "a", "batch": 5}"#))
    }
    #expect(problem?.description.hasPrefix("has no member 'batch'") == true)
  }

  @Test func whatTheProgramHasSetIsCheckedLikeWhatIsRead() throws {
    var sample: Sample = try strict.read(json(#"{"name": "a"}"#))
    #expect(sample.problem == nil)
    sample.batch = 0
    #expect(sample.problem?.description == "'batch' must be from 1 to 4096, and is 0; rows of a step")
  }

  @Test func namesBecomeSnakeCase() {
    for (name, wire) in [
      ("learningRate", "learning_rate"), ("modelID", "model_id"), ("ci95", "ci95"), ("accNorm", "acc_norm"),
      ("isURLGiven", "is_url_given"), ("served_because", "served_because"),
    ] { #expect(snakeCase(name) == wire) }
  }
}

private struct Row: Codable, Equatable {
  enum State: String, Choice { case ready, failed }
  var name: String
  var state: State
  var job: Int64?
  @NullWhenAbsent var previous: Int?
  @Logarithm var logLikelihood: Double
  var values: [Float]
  var detail: JSONObject
  var nested: [[Double]]
}

@Suite struct PlainCodableTests {
  private let row = Row(
    name: "a", state: .ready, job: nil, previous: nil, logLikelihood: -.infinity, values: [0.1, 2], detail: ["x": 1],
    nested: [[1], []])

  @Test func aStructNeedsNothingToBeWritten() throws {
    let written = RecordWriter.json(row)
    #expect(
      written.jsonText
        == #"{"name":"a","state":"ready","previous":null,"log_likelihood":null,"values":[0.1,2.0],"detail":{"x":1},"nested":[[1.0],[]]}"#
    )
    #expect(try RecordReader(unknownMembers: .ignored).read(written) == row)
  }

  @Test func whatANewerVersionAddsIsIgnored() throws {
    var object = RecordWriter.object(row)
    object["more"] = "?"
    object["previous"] = nil
    #expect(try RecordReader(unknownMembers: .ignored).read(.object(object)) == row)
  }

  @Test func aGroupOfMembersIsThereWholeOrNotAtAll() throws {
    struct Facts: Codable, Sendable, Equatable {
      var layers: Int
      var hidden: Int
      @NullWhenAbsent var template: String?
    }
    struct Model: Codable, Sendable, Equatable {
      var name: String
      @FlattenedIfPresent var facts: Facts?
    }
    func read(_ json: JSONValue) throws(RecordError) -> Model {
      try RecordReader(unknownMembers: .ignored).read(json)
    }
    #expect(try read(["name": "m"]).facts == nil)
    #expect(try read(["name": "m", "layers": 2, "hidden": 3]).facts?.hidden == 3)
    // One that an older daemon does not send must not hide the others.
    let error = #expect(throws: RecordError.self) { try read(["name": "m", "layers": 2, "template": "t"]) }
    #expect(try #require(error).place == "hidden" && error?.kind == .missing)
  }

  @Test func errorsNameTheirPlace() throws {
    func problem(_ change: (inout JSONObject) -> Void) -> String? {
      var object = RecordWriter.object(row)
      change(&object)
      do throws(RecordError) {
        _ = try RecordReader(unknownMembers: .ignored).read(.object(object), as: Row.self, at: "result")
        return nil
      } catch { return error.description }
    }
    #expect(problem { $0["name"] = nil } == "'result.name' is missing")
    #expect(problem { $0["state"] = "redy" }?.contains("did you mean 'ready'?") == true)
    #expect(problem { $0["values"] = [1, "x"] } == "'result.values[1]' must be a number, and is the string 'x'")
    #expect(problem { $0["nested"] = [[1], ["x"]] } == "'result.nested[1][0]' must be a number, and is the string 'x'")
    #expect(problem { $0["job"] = 1.5 } == "'result.job' must be an integer, and is the number 1.5")
  }
}

/// What the records of files have, beside the others.
@Suite struct FileRecordTests {
  private let strict = RecordReader(unknownMembers: .refused)

  private func settingsProblem(_ text: String) throws -> String {
    let value = try json(text)
    do throws(RecordError) {
      let settings: Settings = try strict.read(value)
      return "read \(RecordWriter.json(settings).jsonText)"
    } catch { return error.description(of: "file") }
  }

  @Test func durationsTextsAndListsOfOneAreReadAndWritten() throws {
    let settings: Settings = try strict.read(json(#"{"limit_seconds": 0.5, "stop": "a", "word": "[b]", "width": 3}"#))
    #expect(settings.limit == .milliseconds(500) && settings.stop == ["a"] && settings.word?.word == "b")
    #expect(settings.widened.width == 3)
    let written = RecordWriter.json(settings)
    #expect(
      written.jsonText
        == #"{"limit_seconds":0.5,"stop":["a"],"title":"","word":"[b]","range":{"low":0.0,"high":1.0},"width":3}"#)
    #expect(try strict.read(written) == settings)
  }

  @Test func theirErrorsNameThePlaceToo() throws {
    #expect(
      try settingsProblem(#"{"limit_seconds": 61}"#) == "file: 'limit_seconds' must be from 0 to 60, and is 61")
    #expect(try settingsProblem(#"{"stop": ["a", 2]}"#) == "file: 'stop[1]' must be a string, and is the integer 2")
    #expect(try settingsProblem(#"{"stop": 2}"#) == "file: 'stop' must be a string, and is the integer 2")
    #expect(
      try settingsProblem(#"{"word": "b"}"#) == "file: 'word' must stand in brackets, and is 'b'; write [word]")
    #expect(try settingsProblem(#"{"word": 1}"#) == "file: 'word' must be a string, and is the integer 1")
    #expect(try settingsProblem(#"{"rang": 1}"#) == "file has no member 'rang'; did you mean 'range'?")
    #expect(try settingsProblem("[]") == "file must be an object, and is a list")
  }

  /// A list of all that a file can set.
  @Test func theLeavesAreTheMembersOfNestedRecordsWithTheDefaultsThatHoldThere() {
    let leaves = Settings.leaves
    #expect(
      leaves.map(\.name) == ["limit_seconds", "stop", "title", "word", "range.low", "range.high", "other", "width"])
    #expect(
      leaves.map(\.summaryWithDefault) == [
        "after which it ends; default 2", "texts", "nothing, by default", "a word in brackets", "low; default 0",
        "high; default 1",
        "another interval, where there is one", "how wide; default 7",
      ])
    #expect(
      leaves.map(\.type.allowed) == [
        "number from 0 to 60", "string, or list of strings", "string", "string", "number", "number", "object",
        "integer",
      ])
    #expect(
      Sample.members.map(\.type.allowed).prefix(4) == [
        "string", "integer from 1 to 4096", "number from 1e-09 to 1000", "list of integers from 0 to 100",
      ])
  }
}
