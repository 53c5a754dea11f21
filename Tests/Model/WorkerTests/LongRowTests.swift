import Adaptation
import Evaluation
import LinearAlgebra
import ModelSamples
import SystemSupport
import Testing
import Transformer

/// A row that is longer than the model's context.
struct LongRowTests {
  @Test func itIsNamedWithWhatItNeedsAndNothingIsCut() throws {
    try withTemporaryDirectory { directory in
      let synthetic = try SyntheticModel(in: directory)
      let model = try LanguageModel.load(
        path: synthetic.path, factorizationDirectory: nil, pool: ComputePool(threads: 1))
      let long = String(repeating: "the cat sat on the mat. ", count: 40)
      let rows = [
        #"{"id":"long","question":"\#(long)","choices":["cat","dog"],"answer":0}"#,
        #"{"id":"short","question":"Which animal barks?","choices":["cat","dog"],"answer":1}"#,
      ]
      let path = directory + "/long.jsonl"
      try FileSystem.writeAtomically(path, Array(rows.joined(separator: "\n").utf8))
      let task = try TaskFile.load(path: path)
      #expect(task.shots.count == 2)
      let encoder = try TaskEncoder(task, for: model)
      do throws(TaskEncodingError) {
        _ = try encoder.encode(task.shots)
        Issue.record("a row of \(long.utf8.count) bytes was encoded for a context of \(model.shape.context)")
      } catch {
        #expect(
          error.description.hasPrefix("row 'long' (line 1) needs ")
            && error.description.hasSuffix("the model's context holds \(model.shape.context)"), "\(error)")
      }
      #expect(try encoder.encode([task.shots[1]]).count == 1)
    }
  }
}
