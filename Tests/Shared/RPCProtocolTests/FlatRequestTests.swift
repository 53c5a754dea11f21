import RPCProtocol
import StrictJSON
import TestSupport
import Testing

@Suite struct FlatRequestTests {
  private func withFlat<T>(_ line: [UInt8], _ body: (FlatRequest?) -> T) -> T {
    unsafe line.withUnsafeBytes { unsafe body(FlatRequest($0)) }
  }

  @Test func theCommonRequestIsReadWithoutTheCarefulParser() {
    let line =
      #"{"jsonrpc":"2.0","id":"q-7","method":"mixture.get","params":{"task":"arc_easy","if_generation":12,"pass_fd":false}}"#
    withFlat(Array(line.utf8)) { flat in
      #expect(flat?.isMethod("mixture.get") == true)
      #expect(flat?.isMethod("mixture.ge") == false)
      #expect(flat.map { unsafe String(decoding: $0.idBytes, as: UTF8.self) } == "\"q-7\"")
      #expect(flat?.string("task") == "arc_easy")
      #expect(flat?.integer("if_generation") == 12)
      #expect(flat?.boolean("pass_fd") == false)
      #expect(flat?.string("model") == nil)
      #expect(flat?.integer("task") == nil)
    }
  }

  @Test func theTableIsConsulted() throws {
    let get = try #require(RPCMethod.named("mixture.get"))
    func satisfies(_ params: String) -> Bool? {
      withFlat(Array(#"{"jsonrpc":"2.0","id":1,"method":"mixture.get","params":\#(params)}"#.utf8)) {
        $0?.satisfies(get)
      }
    }
    #expect(satisfies(#"{"task":"a"}"#) == true)
    #expect(satisfies(#"{"task":"a","model":"b","pass_fd":true,"if_generation":0}"#) == true)
    #expect(satisfies("{}") == false)
    #expect(satisfies(#"{"model":"b"}"#) == false)
    #expect(satisfies(#"{"task":1}"#) == false)
    #expect(satisfies(#"{"task":"a","if_generation":-1}"#) == false)
    #expect(satisfies(#"{"task":"a","typo":1}"#) == false)
    #expect(satisfies(#"{"task":null}"#) == false)
  }

  @Test(arguments: [
    #"{"jsonrpc":"2.0","method":"system.status"}"#, #"{"jsonrpc":"2.0","id":1,"id":1,"method":"system.status"}"#,
    #"{"jsonrpc":"2.0","id":01,"method":"system.status"}"#, #"{"jsonrpc":"2.0","id":-0,"method":"system.status"}"#,
    #"{"jsonrpc":"2.0","id":1.0,"method":"system.status"}"#, #"{"jsonrpc":"2.0","id":1e1,"method":"system.status"}"#,
    #"{"jsonrpc":"2.0","id":null,"method":"system.status"}"#,
    #"{"jsonrpc":"2.0","id":1,"method":"system\u002estatus"}"#,
    #"{"jsonrpc":"2.0","id":1,"method":"system.status",}"#, #"{"jsonrpc":"2.0","id":1,"method":"system.status"} x"#,
    #"{"jsonrpc":"2.0","id":1,"method":"mixture.get","params":{"task":"a","task":"a"}}"#,
    #"{"jsonrpc":"2.0","id":1,"method":"mixture.get","params":{"task":["a"]}}"#, "", "{", "{}",
  ])
  func whatIsNotPlainIsLeftToTheCarefulParser(line: String) {
    withFlat(Array(line.utf8)) { #expect($0 == nil) }
  }

  /// Whatever the quick scanner accepts, the careful parser accepts with the same meaning; else a line could mean
  /// one thing on the hot path and another beside it.
  @Test func theQuickScannerNeverAcceptsMoreThanTheCarefulParser() throws {
    let seeds = [
      #"{"jsonrpc":"2.0","id":7,"method":"mixture.get","params":{"task":"arc_easy"}}"#,
      #" { "params" : { "task":"a" , "if_generation" : -12 , "pass_fd":true } , "id" : "x" , "method":"mixture.get","jsonrpc":"2.0"}"#,
      #"{"jsonrpc":"2.0","id":-1,"method":"system.status","params":{}}"#,
    ].map { Array($0.utf8) }
    let alphabet = Array("{}[]\",:\\ 0123-.eEtruefalsn\t\r\u{0}idmethod".utf8) + [0xc3, 0xff]
    var numbers = SplitMix(seed: 1)
    func random(_ bound: Int) -> Int { numbers.below(bound) }
    var accepted = 0
    for round in 0..<6_000 {
      var line = seeds[round % seeds.count]
      for _ in 0..<(round / 3 % 4) {
        let at = random(line.count)
        switch random(4) {
        case 0: line[at] = alphabet[random(alphabet.count)]
        case 1: line.insert(alphabet[random(alphabet.count)], at: at)
        case 2: line.remove(at: at)
        default: line.replaceSubrange(at..., with: line[random(line.count)...])
        }
        if line.isEmpty { line = [0x7b] }
      }
      let text = String(decoding: line, as: UTF8.self)
      let isAccepted = withFlat(line) { flat in
        guard let flat, let method = RPCMethod.all.first(where: { flat.isMethod($0) && flat.satisfies($0) }) else {
          return false
        }
        do {
          let careful = try RPCRequestTests.parse(line)
          #expect(careful.method == method, "\(text)")
          let id = unsafe Array(flat.idBytes)
          #expect(id == careful.id?.json.serialized(), "\(text)")
          #expect(flat.string("task") == careful.params["task"]?.stringValue, "\(text)")
          #expect(flat.integer("if_generation") == careful.params["if_generation"]?.integerValue, "\(text)")
          #expect(flat.boolean("pass_fd") == careful.params["pass_fd"]?.boolValue, "\(text)")
        } catch {
          Issue.record("the careful parser refuses \(text): \(error)")
        }
        return true
      }
      if isAccepted { accepted += 1 }
    }
    #expect(accepted > 800)
  }
}
