import Records
import Settings
import Testing

@Suite struct EngineAddressTests {
  @Test(arguments: [
    ("unix:/run/t2/a.sock", "unix:/run/t2/a.sock"), ("unix:///run//t2/a.sock", "unix:/run/t2/a.sock"),
    ("http://127.0.0.1:8765", "http://127.0.0.1:8765"), ("http://127.0.0.1:8765/", "http://127.0.0.1:8765"),
    ("http://localhost:1", "http://localhost:1"), ("http://LOCALHOST:1", "http://localhost:1"),
    ("http://[::1]:65535", "http://[::1]:65535"),
  ])
  func anAddressIsWrittenInOneForm(text: String, written: String) throws {
    let address = try EngineAddress(text: text)
    #expect(address.text == written)
    #expect(try EngineAddress(text: written) == address)
  }

  @Test(arguments: [
    ("http://10.0.0.7:8000", "ssh -N -L 8000:localhost:8000 10.0.0.7"),
    ("http://engine.example.org:8000/", "ssh -N -L 8000:localhost:8000 engine.example.org"),
    ("http://user@localhost:8000", "none of 127.0.0.1"), ("http://localhost.evil:80", "none of 127.0.0.1"),
    ("http://127.0.0.2:80", "none of 127.0.0.1"), ("http://[::2]:80", "none of 127.0.0.1"),
    ("http://0.0.0.0:80", "none of 127.0.0.1"), ("https://localhost:8000", "without encryption"),
    ("http://localhost", "it has no port"), ("http://localhost:0", "from 1 to 65535"),
    ("http://localhost:65536", "from 1 to 65535"), ("http://localhost:+1", "from 1 to 65535"),
    ("http://[::1]", "it has no port"), ("http://localhost:80/v1", "a path stands behind the port"),
    ("/run/a.sock", "write unix:/run/a.sock"), ("unix:a.sock", "not absolute"), ("unix:/", "that of a directory"),
    ("unix:/run/", "that of a directory"), ("unix:/a\u{7}", "control character"), ("unix:/a,b", "comma"),
    ("unix:/" + String(repeating: "x", count: 107), "at most 107"), ("smol", "neither unix: nor http://"),
    ("", "neither unix: nor http://"),
  ])
  func whatIsNotOfThisMachineIsRefusedWithWhatToDo(text: String, problem: String) throws {
    let error = #expect(throws: RecordError.self) { try EngineAddress(text: text) }
    let description = try #require(error).description
    #expect(description.contains(problem), "\(description)")
    #expect(description.utf8.count < 400)
  }

  @Test func aListHasCommasBetweenItsAddresses() throws {
    let addresses = try EngineAddresses(text: "unix:/a, http://127.0.0.1:1 ,http://[::1]:1")
    #expect(addresses.items.map(\.text) == ["unix:/a", "http://127.0.0.1:1", "http://[::1]:1"])
    #expect(addresses.text == "unix:/a,http://127.0.0.1:1,http://[::1]:1")
  }

  @Test(arguments: [
    ("unix:/a,unix://a", "names one engine twice"), ("http://127.0.0.1:1,http://localhost:1", "names one engine twice"),
    ("http://localhost:1,http://[::1]:1", "names one engine twice"), ("unix:/a,", "missing before or after a comma"),
    (",unix:/a", "missing before or after a comma"), ("", "missing before or after a comma"),
    ("unix:/a,http://example.org:1", "none of 127.0.0.1"),
    ((0...64).map { "unix:/\($0)" }.joined(separator: ","), "names 65 engines"),
  ])
  func aListOfOtherThingsIsRefused(text: String, problem: String) throws {
    let error = #expect(throws: RecordError.self) { try EngineAddresses(text: text) }
    let description = try #require(error).description
    #expect(description.contains(problem), "\(description)")
  }
}
