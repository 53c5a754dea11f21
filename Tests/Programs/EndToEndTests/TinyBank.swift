import Glibc
import ModelFormats
import ModelSamples
import RPCClient
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// A daemon whose only model is a random one of two layers, on which a search takes half a second in a debug build.
func withBank(
  configuration: String? = nil, sourceLocation: SourceLocation = #_sourceLocation,
  _ body: (RunningDaemon, RPCClient) throws -> Void
) throws {
  try withTemporaryDirectory { prefix in
    let daemon = try RunningDaemon(prefix: prefix, configuration: configuration)
    defer { if daemon.process.pollExit() == nil { daemon.kill() } }
    do {
      let client = try daemon.client()
      try addTinyModel(daemon, client)
      try body(daemon, client)
    } catch {
      throw Failure("\(error)\nthe daemon's log:\n\(daemon.log)")
    }
    #expect(try daemon.stop() == .code(0), "\(daemon.log)", sourceLocation: sourceLocation)
    let left = try Leftovers.files(ofPrefix: prefix)
    #expect(left == [], sourceLocation: sourceLocation)
  }
}

func addTinyModel(_ daemon: RunningDaemon, _ client: RPCClient) throws {
  let model = try SyntheticModel(in: daemon.prefix + "/sample")
  let added = try client.call("model.add", ["path": .string(model.path), "name": "tiny"])
  try daemon.finish(try #require(added["job"]?.integerValue))
}

/// An expert for the tiny model; each number is another content.
func expertBytes(_ name: String, _ number: Int) -> [UInt8] {
  safetensorsBytes(
    tensors: SyntheticModel.targets.map { target in
      SafetensorsTensor(
        name: target.name, shape: [target.rank],
        values: (0..<target.rank).map { 1 + Float($0) / 64 + Float(number) / 4096 })
    },
    metadata: [
      ("t2.format", "t2-expert"), ("t2.version", "1"), ("t2.name", name), ("t2.param_space", "multiplier"),
      ("t2.rescale", "none"), ("t2.max_mult", "1"),
    ])
}

/// Few-shot rows; each number is another content.
func rows(_ number: Int) -> [UInt8] {
  let rows = ["A", "B", "C", "D"].map { letter in
    #"{"question":"\#(letter) \#(number)?","choices":{"text":["Honey \#(letter)","Milk"],"label":["A","B"]},"answerKey":"A"}"#
  }
  return Array(rows.joined(separator: "\n").utf8)
}

/// A bank in which nothing happens by itself: a version is active when it is promoted, a mixture is searched when it is
/// asked for.
let stillBank = "{ promotion: 'manual', checks: { on_arrival: false }, debounce: { quiet_seconds: 3600 } }"

/// How a request ended.
enum Asked {
  case done(JSONValue)
  /// With the name of the error.
  case refused(String)
  /// The daemon was gone before it answered.
  case lost

  init(_ client: RPCClient, _ method: String, _ params: JSONObject) throws {
    do throws(RPCClientError) {
      self = .done(try client.call(method, params))
    } catch {
      switch error {
      case .refused(let error): self = .refused(error.kind)
      case .closed: self = .lost
      case .system(let error) where error.number == ECONNRESET || error.number == EPIPE: self = .lost
      default: throw error
      }
    }
  }
}

/// All rows of a list, page by page.
func everyRow(
  _ client: RPCClient, _ method: String, _ params: JSONObject = [:], of member: String
) throws -> [JSONValue] {
  var (rows, params) = ([JSONValue](), params)
  while true {
    let page = try client.call(method, params)
    rows += page[member]?.arrayValue ?? []
    guard let next = page["next"], next != .null else { return rows }
    params["after"] = next
  }
}
