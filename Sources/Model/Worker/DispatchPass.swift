import Settings
import Adaptation
import Engines
import Evaluation
import LinearAlgebra
import SystemSupport
import WorkerProtocol

/// The first of the two passes of a request (arXiv 2501.06252, section 3.2): decides which weights answer it.
///
/// Scoring is done in the thread of short requests. A decision that is generated is decoded with everything else and
/// read when it has ended, in the thread of short requests again.
struct DispatchPass: Sendable {
  struct Outcome: Sendable {
    var decision: Decision
    var promptTokens: Int
    var seconds: Double
  }

  let prompt: String
  let spec: DispatchSpec
  let lease: ModelStore.Lease
  let generator: Generator
  /// Runs something in the thread of short requests.
  let later: @Sendable (@escaping @Sendable () -> Void) -> Void

  /// In the thread of short requests. `done` is called in it, once; `decoding` is given the ticket of a generation.
  func run(
    decoding: @Sendable (Generator.Ticket) -> Void,
    _ done: @escaping @Sendable (Result<Outcome, WorkerFault>) -> Void
  ) {
    do throws(WorkerFault) {
      let began = MonotonicInstant.now
      let dispatcher = try Dispatcher(spec, for: lease.model.model)
      let view = try lease.model.view(spec.weights)
      switch spec.reading {
      case .score:
        let (outcome, count) = try faulting {
          (
            try dispatcher.score(
              prompt, under: view, inPiecesOf: lease.model.model.shortPassRows, priority: .interactive),
            try dispatcher.question(prompt).count
          )
        }
        done(
          .success(
            Outcome(
              decision: Decision(outcome, dispatcher, .score), promptTokens: count,
              seconds: (MonotonicInstant.now - began).inSeconds)))
      case .generate:
        let request = try faulting {
          try dispatcher.request(prompt, under: view, maximumTokens: spec.maximumTokens)
        }
        decoding(generate(request, dispatcher, view, done))
      }
    } catch {
      done(.failure(error))
    }
  }

  private func generate(
    _ request: GenerationRequest, _ dispatcher: Dispatcher, _ view: WeightView,
    _ done: @escaping @Sendable (Result<Outcome, WorkerFault>) -> Void
  ) -> Generator.Ticket {
    let start = SharedInstant()
    return generator.add(lease, request) { event in
      switch event {
      case .began: start.began.withLock { $0 = .now }
      case .token: break
      case .failed(_, let error): later { done(.failure(WorkerFault(error))) }
      case .ended(_, let generation):
        guard generation.ending != .cancelled else { return later { done(.failure(.requestCancelled)) } }
        later {
          done(read(generation.text, dispatcher, view, request.prompt.count, since: start.began.withLock { $0 }))
        }
      }
    }
  }

  private func read(
    _ text: String, _ dispatcher: Dispatcher, _ view: WeightView, _ promptTokens: Int, since began: MonotonicInstant?
  ) -> Result<Outcome, WorkerFault> {
    do throws(WorkerFault) {
      let outcome = try faulting {
        try dispatcher.read(
          text, to: prompt, under: view, inPiecesOf: lease.model.model.shortPassRows, priority: .interactive)
      }
      return .success(
        Outcome(
          decision: Decision(outcome, dispatcher, .generate), promptTokens: promptTokens,
          seconds: began.map { (MonotonicInstant.now - $0).inSeconds } ?? 0))
    } catch {
      return .failure(error)
    }
  }
}

/// When a pass began; for a closure to hold.
private final class SharedInstant: Sendable {
  let began = Mutex<MonotonicInstant?>(nil)
}

extension Dispatcher {
  init(_ spec: DispatchSpec, for model: any Engine) throws(WorkerFault) {
    self = try faulting {
      try Dispatcher(
        try DispatchTemplate(spec.template, source: spec.templateSource), labels: spec.names, for: model)
    }
  }
}

extension Decision {
  init(_ outcome: Dispatcher.Outcome, _ dispatcher: Dispatcher, _ reading: DecisionReading) {
    self.init(
      label: outcome.label, reading: reading,
      probabilities: zip(dispatcher.labels, outcome.probabilities).map { Probability(label: $0, probability: $1) },
      text: outcome.text, note: outcome.note)
  }
}

extension WorkerFault {
  static let requestCancelled = WorkerFault(.cancelled, "the request was cancelled")
}
