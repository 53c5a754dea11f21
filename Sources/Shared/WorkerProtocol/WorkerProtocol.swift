package import Records

// The language between the daemon and the process that computes.
//
// One JSON object a line, `\n`, UTF-8, over a socketpair whose other end is descriptor 3 of the worker:
//
//   daemon → worker  {"id":7,"method":"tokenize","params":{"model":{…},"text":"Hello","special":false}}
//   worker → daemon  {"id":7,"result":{"ids":[19556]}}
//                    {"id":8,"error":{"kind":"no_tokenizer","message":"…","retry":false}}
//                    {"event":"job.progress","job":12,"fraction":0.4,"phase":"search",…}
//
// Answers come in any order; events of one job come in order and end with exactly one of `job.done`, `job.failed`
// and `job.cancelled`. Both ends come from one build, so the version is compared once, in `hello`, and a field that an
// end does not know is ignored. Nothing here computes, opens a file or links BLAS: the daemon builds against it, and a
// driver for another back end (vLLM) speaks it too.

/// What both ends must agree on before anything else is said.
package enum WorkerProtocol {
  /// Raised whenever a message changes its meaning; `hello` carries it.
  package static let version: Int64 = 2
  /// The descriptor at which the worker finds its end of the socketpair.
  package static let descriptor: Int32 = 3
  /// A line longer than this ends the connection. A per-matrix mixture of 64 experts on a 70B model is 1 MiB of text;
  /// the journal of a long search that is handed back at resume is the largest message.
  package static let longestLine = 64 << 20
}

/// What cannot be understood of a message.
package enum WorkerProtocolError: Error, Equatable, CustomStringConvertible {
  case notJSON(String)
  /// It is JSON, and not what was expected there.
  case malformed(RecordError)
  case lineTooLong(limit: Int)

  package var description: String {
    switch self {
    case .notJSON(let problem): "a worker message is not JSON: \(problem)"
    case .malformed(let error): error.place.isEmpty ? "a worker message \(error)" : "worker message: \(error)"
    case .lineTooLong(let limit): "a worker message is longer than \(limit) bytes; the connection is closed"
    }
  }
}
