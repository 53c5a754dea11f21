import EngineLink
import StrictJSON

extension HostileReader {
  /// An answer of HTTP, as it comes through a socket. However it is cut it is the same answer, or the same refusal.
  static let engineAnswer = HostileReader(
    "engine-answer",
    texts: [
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n"
        + #"{"scores":[[[-1.5,null]]],"mixtures":{}}"#,
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n{\"scores\":[[[-1.5,nu\r\n14;x=y\r\n"
        + "ll]]],\"mixtures\":{}}\r\n0\r\nX: y\r\n\r\n",
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    ]
  ) { bytes in
    let whole = Result { try answer(bytes, cutAt: bytes.count) }
    for size in [1, 3] {
      switch (whole, Result { try answer(bytes, cutAt: size) }) {
      case (.success(let one), .success(let other)):
        try promise(one == other, "the answer is another where it comes in pieces of \(size)")
      case (.failure(let one), .failure(let other)):
        // What follows behind an answer is counted in what came at once.
        try promise(
          "\(one)".prefix(40) == "\(other)".prefix(40) || "\(one)".contains("follow behind"),
          "the refusal is another where it comes in pieces of \(size): '\(one)', '\(other)'")
      case (.success, .failure(let error)), (.failure(let error), .success):
        throw BrokenPromise("whether it is refused depends on how it is cut: \(error)")
      }
    }
    let (status, body) = try whole.get()
    guard status == 200, let body else { return }
    let scores = try AnsweredScores([[2]], [], ranks: 1).read(body)
    try promise(scores.map { $0.map(\.count) } == [[2]], "scores of another shape were taken")
    try promise(scores[0][0].allSatisfy { !($0 > 0.1) }, "a probability above 1 was taken")
  }

  private static func answer(_ bytes: [UInt8], cutAt size: Int) throws -> (status: Int, body: [UInt8]?) {
    var parser = HTTPAnswerParser(bodyBytes: 1024)
    var rest = bytes[...]
    while !rest.isEmpty {
      try parser.take(rest.prefix(size))
      rest = rest.dropFirst(size)
    }
    return (parser.status, parser.isComplete ? parser.takeBody() : nil)
  }

  /// What an engine says of itself and its model.
  static let engineFacts = HostileReader(
    "engine-facts",
    texts: [
      #"{"protocol":1,"engine":{"name":"torch","version":"t2-engines 0.2.0","type":"float32","device":"cpu","#
        + #""parallelism":2},"model":{"id":"m","architecture":"llama","parameters":10,"layers":1,"hidden":2,"#
        + #""vocabulary":9,"context":8,"stored":"BF16","digest":"sha256:\#(digits)","end_ids":[2,3]},"#
        + #""targets":[{"name":"model.layers.0.q.weight","rows":2,"columns":3},"#
        + #"{"name":"model.layers.0.k.weight","rows":4,"columns":3}],"#
        + #""abilities":{"gradients":true,"logits":true,"generate":true,"images":false,"mixtures":4},"#
        + #""files":{"config.json":{"bytes":2,"digest":"sha256:\#(digits)"}},"warnings":["a word"],"later":{"x":1}}"#
    ]
  ) { bytes in
    let facts = try RemoteFacts(reading: bytes)
    try promise(facts.difference(from: facts) == nil, "the facts differ from themselves")
    try promise(
      facts.layout.count == facts.layout.matrices.reduce(0) { $0 + min($1.rows, $1.columns) },
      "the layout has another count than its matrices")
    try promise(
      facts.layout.matrices.allSatisfy { ($0.layer ?? 0) < facts.model.layers }, "a layer is not in the model")
    try promise(facts.model.endIDs.allSatisfy { Int($0) < facts.model.vocabulary }, "an end id is no token")
    try promise(
      facts.files.allSatisfy { !$0.name.contains("/") && facts.file($0.name) == $0 }, "a file is not what it is named")
  }

  private static let digits = String(repeating: "0f", count: 32)
}
