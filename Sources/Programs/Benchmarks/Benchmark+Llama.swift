import Glibc
import LinearAlgebra
import SystemSupport
import Transformer

extension Benchmark {
  static let llama = Benchmark(
    name: "llama", summary: "one stream and a long prompt, ours beside llama.cpp's in turns (--llama)",
    isStandard: false,
    run: measureLlama)
}

/// New tokens of an answer.
private let answerLength = 65
/// Tokens of a long prompt.
private let promptLength = 512

/// The same file, threads and tokens for both; each waits while the other computes, and rounds alternate, so that what the
/// machine does meanwhile falls on both. Logits are computed for the last token of a prompt only, as both do for an answer.
private func measureLlama(_ context: borrowing BenchmarkContext) throws -> [Measurement] {
  guard let environment = context.options.llama else {
    throw BenchmarkError("llama needs --llama DIRECTORY, which etc/lib/make-llama makes")
  }
  let model = try loadModel(context)
  let theirs = try LlamaProcess(
    environment: environment, model: context.options.model, threads: context.pool.threadCount,
    context: promptLength + answerLength)
  context.say("  beside llama-cpp-python \(theirs.version)")
  var tokens = BenchmarkTokens(vocabulary: model.shape.vocabulary)
  let (short, long) = (tokens.sequence(32), tokens.sequence(promptLength))

  let others = ProcessorUse.ofOthers()

  var decoding: [(ours: Double, theirs: Double)] = []
  var prefill: [(ours: Double, theirs: Double)] = []
  // The first round loads what has to be loaded. Seven are enough, and three where they take minutes.
  let deadline = Deadline.after(.seconds(120))
  for round in 0...max(context.options.repetitions, 7) where round <= 3 || !deadline.hasPassed {
    let ours = try DecodingTime(model, [(short, .base)], count: answerLength)
    settle()
    let other = try theirs.generate(short, count: answerLength)
    settle()
    let ourPrompt = try DecodingTime(model, [(long, .base)], count: 1).prefill
    settle()
    let otherPrompt = try theirs.generate(long, count: 1).prefill
    settle()
    guard round > 0 else { continue }
    decoding.append((ours.tokensPerSecond, Double(answerLength - 1) / other.decode))
    prefill.append((Double(promptLength) / ourPrompt, Double(promptLength) / otherPrompt))
  }
  return [
    // Its threads wait for each other at every product, so others' work costs llama.cpp many times what it costs us.
    .ratio("processors used by others before it", others, .atMost(0.1)),
    Measurement("decoding one stream", median(decoding.map(\.ours)), "tok/s"),
    Measurement("decoding one stream, llama.cpp", median(decoding.map(\.theirs)), "tok/s"),
    .ratio("decoding, ours to llama.cpp's", median(decoding.map { $0.ours / $0.theirs }), .atLeast(1)),
    Measurement("prompt of \(promptLength)", median(prefill.map(\.ours)), "tok/s"),
    Measurement("prompt of \(promptLength), llama.cpp", median(prefill.map(\.theirs)), "tok/s"),
    .ratio("prompt, ours to llama.cpp's", median(prefill.map { $0.ours / $0.theirs }), .atLeast(2)),
  ]
}

/// Threads of both that found nothing to do spin for a while before they sleep.
private func settle() { _ = poll(nil, 0, 20) }
