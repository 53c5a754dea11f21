import Experts
import StrictJSON
import Testing

@Suite struct ModelSignatureTests {
  @Test func itsJSONReadsBack() throws {
    let model = signature()
    #expect(try ModelSignature(json: parseJSON(model.json.serialized())) == model)
  }

  @Test func wrongJSONIsRefusedWithItsPlace() throws {
    let good = try #require(signature().json.objectValue)
    for (key, value, text) in [
      ("digest", "sha256:1", "\"digest\" must be sha256:"), ("matrices", [["name": "a"]], "matrices[0]"),
      ("extra", 1, "unknown key \"extra\""),
      (
        "matrices",
        [["name": "a", "rows": 2, "columns": 2, "layer": nil], ["name": "a", "rows": 2, "columns": 2, "layer": nil]],
        "there twice"
      ),
      ("matrices", [["name": "a", "rows": 0, "columns": 2]], "\"rows\" is 0"),
    ] as [(String, JSONValue, String)] {
      var object = good
      object[key] = value
      let error = #expect(throws: ObjectReaderError.self) { try ModelSignature(json: .object(object)) }
      #expect(error?.description.contains(text) == true, "\(error?.description ?? "")")
    }
  }
}
