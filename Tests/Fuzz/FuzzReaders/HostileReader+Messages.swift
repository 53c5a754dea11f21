import Digests
import Registry
import RPCProtocol
import StrictJSON
import SystemSupport
import WorkerProtocol

extension HostileReader {
  // MARK: - Requests

  /// Beside these the corpus has a request of each method.
  static let request = HostileReader(
    "request",
    texts: [
      #"{"jsonrpc":"2.0","id":7,"method":"mixture.get","params":{"task":"arc_easy"}}"#,
      #"{"params":{"task":"a","if_generation":12,"pass_fd":true},"id":"x","method":"mixture.get","jsonrpc":"2.0"}"#,
      #"{"jsonrpc":"2.0","id":null,"method":"job.show","params":{"job":1}}"#, #"{"jsonrpc":"2.0","method":"job.list"}"#,
    ]
  ) { try readRequest($0) }

  /// The quick scanner never accepts what the careful parser refuses or understands in another way; what was read and is
  /// written again is the same request.
  private static func readRequest(_ line: [UInt8]) throws {
    let careful = Result { try unsafe line.withUnsafeBytes { try unsafe RPCRequest.parse($0) } }
    try unsafe line.withUnsafeBytes { bytes in
      guard let flat = unsafe FlatRequest(bytes),
        let method = RPCMethod.all.first(where: { flat.isMethod($0) && flat.satisfies($0) })
      else { return }
      guard case .success(let request) = careful else { throw BrokenPromise("only the quick scanner accepts it") }
      try promise(request.method == method, "the quick scanner sees another method")
      try promise(
        unsafe Array(flat.idBytes) == request.id?.json.serialized(), "the quick scanner sees another id")
      try promise(flat.string("task") == request.params["task"]?.stringValue, "the quick scanner sees another task")
      try promise(
        flat.integer("if_generation") == request.params["if_generation"]?.integerValue,
        "the quick scanner sees another number")
      try promise(
        flat.boolean("pass_fd") == request.params["pass_fd"]?.boolValue, "the quick scanner sees another truth")
    }
    let request = try careful.get()
    var object: JSONObject = [
      "jsonrpc": "2.0", "method": .string(request.method.name), "params": .object(request.params),
    ]
    if let id = request.id { object["id"] = id.json }
    let text = JSONValue.object(object).serialized()
    let again = try ours("the request as we write it is refused") {
      try unsafe text.withUnsafeBytes { try unsafe RPCRequest.parse($0) }
    }
    try promise(
      again.id == request.id && again.method == request.method && again.params == request.params,
      "the request as we write it is another one")
    try readParameters(of: request)
  }

  private static func readParameters(of request: RPCRequest) throws {
    guard let declaration = RPCMethod.declaration(named: request.method.name) else {
      throw BrokenPromise("the method of a request is in no table")
    }
    _ = try declaration.parameters(request.params)
  }

  // MARK: - The redo log

  private static let logged = [
    #"{"redo":1,"base":7,"schema":3}"#, #"{"commit":8,"run":[["INSERT INTO events VALUES (?, ?)",["job.queued",4]]]}"#,
    #"{"commit":9,"run":[["DELETE FROM jobs",[]],["UPDATE meta SET value = ?",[null]]]}"#,
  ]

  /// The texts of a log's lines, which get the checksums that they should have: else none would be read. What begins with a
  /// digit is the log as it stands.
  static let redo = HostileReader(
    "redo",
    samples: {
      let texts = Array((logged.joined(separator: "\n") + "\n").utf8)
      return [("texts", texts), ("log", withChecksums(texts))]
    },
    read: { bytes in
      try withTemporaryDirectory { directory in
        let isLog = bytes.first.map { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) } ?? false
        let path = RedoLog.logPath(directory, 7)
        try FileSystem.writeAtomically(path, isLog ? bytes : withChecksums(bytes), mode: 0o600)
        let log = try RedoLog.open(in: directory, base: 7)
        try log.entries(after: log.last) { entry in
          for statement in entry.statements where RedoStatement(json: statement.json) != statement {
            // The closure's errors are the registry's.
            preconditionFailure("a statement is another one when it is written again: \(statement)")
          }
        }
        let size = try FileSystem.status(path)?.size
        try promise(size == log.last.end, "what does not count was not cut off")
      }
    })

  /// As `RedoLog` describes them. The last line has no end where the text has none.
  private static func withChecksums(_ texts: [UInt8]) -> [UInt8] {
    var log: [UInt8] = []
    var checksum: [UInt8] = []
    let lines = texts.split(separator: 0x0a, omittingEmptySubsequences: false)
    for (index, text) in lines.enumerated() {
      if index == lines.count - 1, text.isEmpty { break }
      checksum = Array(SHA256.digest(checksum + text).hex.prefix(16).utf8)
      log += checksum + [0x20] + text
      if index < lines.count - 1 { log.append(0x0a) }
    }
    return log
  }

  // MARK: - The worker's messages

  static let workerRequest = HostileReader(
    "worker-request",
    texts: [
      #"{"id":1,"method":"hello","params":{}}"#,
      #"{"id":2,"method":"tokenize","params":{"model":{"path":"/m","digest":"sha256:ab","cache_directory":"/c"},"text":"a","special":true}}"#,
      #"{"id":3,"method":"job.cancel","params":{"job":9}}"#,
    ]
  ) { try readMessage(WorkerRequest.self, $0) }

  static let workerReply = HostileReader(
    "worker-reply",
    texts: [
      #"{"id":7,"result":{"ids":[19556]}}"#,
      #"{"event":"job.progress","job":12,"fraction":0.4,"phase":"search","detail":"","best":0.5,"eta_seconds":3}"#,
      #"{"event":"job.journal","job":3,"entry":{"g":0}}"#, #"{"event":"job.cancelled","job":3}"#,
      #"{"event":"generate.token","id":8,"request":1,"token":77,"text":"to"}"#,
    ]
  ) { try readMessage(WorkerReply.self, $0) }

  private static func readMessage<Message: WorkerMessage & Equatable>(_: Message.Type, _ line: [UInt8]) throws {
    var assembler = LineAssembler(limit: 4096)
    for byte in line + [0x0a] { assembler.append([byte]) }
    let first = try assembler.next() ?? []
    try promise(first == Array(line.prefix { $0 != 0x0a }), "a line is cut in another place")
    let message = try Message(decoding: JSONValue(workerLine: first))
    let text = Array(message.json.workerLine.dropLast())
    try promise(!text.contains(0x0a), "a message is more than a line")
    let again = try ours("our own message is refused") { try Message(decoding: JSONValue(workerLine: text)) }
    try promise(again == message, "our own message is read as another one")
  }
}
