import StrictJSON
import SystemSupport
import TestSupport
import Testing

@testable import Evaluation

@Suite struct DispatchTemplateTests {
  private func refusal(_ text: String) -> DispatchTemplateError? {
    do throws(DispatchTemplateError) {
      _ = try DispatchTemplate(text, source: "t.txt")
      return nil
    } catch { return error }
  }

  @Test func theBuiltInTextIsTheShippedFile() throws {
    let shipped = try FileSystem.readAll(repository + "/etc/t2d/dispatch.txt", maximumBytes: 1 << 16)
    #expect(DispatchTemplate.builtIn.text == String(decoding: shipped, as: UTF8.self))
    #expect(try DispatchTemplate(bytes: shipped, source: "file").text == DispatchTemplate.builtIn.text)
  }

  @Test func aMissingPlaceholderIsNamedWithWhatLooksLikeIt() {
    #expect(refusal("Sort {prompt} into {labels}.") == nil)
    #expect(refusal("{labels}") == .missing(placeholder: "{prompt}", source: "t.txt", near: nil))
    #expect(
      refusal("{label} for {prompt}")?.description
        == "the dispatch template (t.txt) has no {labels}; it needs {labels} and {prompt}, and {label} is neither")
    #expect(throws: DispatchTemplateError.notUTF8(source: "t")) {
      try DispatchTemplate(bytes: Array("{labels}{prompt}".utf8) + [0xff], source: "t")
    }
  }

  @Test func aPlaceholderWithinTheRequestIsText() throws {
    let template = try DispatchTemplate("{labels}: {prompt} \\boxed{x} {prompt}\n", source: "t")
    #expect(
      template.render(labels: ["a", "other"], prompt: "{labels}{prompt}{")
        == "a, other: {labels}{prompt}{ \\boxed{x} {labels}{prompt}{")
  }
}

@Suite struct BoxedAnswerTests {
  @Test(arguments: [
    (#"\boxed{math}"#, "math"), (#"like \boxed{reasoning}, so \boxed{math}."#, "math"),
    (#"\boxed{\text{ math }}"#, "math"), (#"\boxed{a{b}c}"#, "a{b}c"), (#"\boxed{math} and \boxed{oth"#, "math"),
    (#"\boxed{}"#, ""),
  ])
  func theLastClosedOneCounts(text: String, content: String) {
    #expect(BoxedAnswer(lastIn: text)?.content == content)
  }

  @Test func whatStandsBeforeEndsWithTheOpeningBrace() {
    #expect(BoxedAnswer(lastIn: #"so \boxed{math}."#)?.before == #"so \boxed{"#)
    for text in ["", "math", #"\boxed{math"#, #"\boxed math"#] { #expect(BoxedAnswer(lastIn: text) == nil) }
  }

  @Test func caseQuotesAndAFullStopDoNotCount() {
    let labels = ["math", "code", "other"]
    for text in ["Math", " 'math' ", "\"MATH.\"", "`math`"] {
      #expect(BoxedAnswer(lastIn: "\\boxed{\(text)}")?.label(of: labels) == "math", "\(text)")
    }
    #expect(BoxedAnswer(lastIn: #"\boxed{mathematics}"#)?.label(of: labels) == nil)
  }
}

@Suite struct ConfusionMatrixTests {
  @Test func itCountsByTruthAndByAnswer() {
    var matrix = ConfusionMatrix(labels: ["a", "b", "other"])
    for (truth, given) in [("a", "a"), ("a", "b"), ("b", "b"), ("b", "other"), ("other", "other")] {
      matrix.add(truth: truth, given: given)
    }
    #expect(matrix.counts == [[1, 1, 0], [0, 1, 1], [0, 0, 1]])
    #expect(matrix.total == 5 && matrix.correct == 3 && matrix.other == 2)
    #expect(matrix.accuracy == 0.6 && matrix.otherShare == 0.4)
    #expect(matrix.interval == WilsonInterval(successes: 3, of: 5))
  }
}

@Suite struct DispatchRowTests {
  private func read(_ lines: String) -> Result<[DispatchRow], DispatchRowError> {
    do throws(DispatchRowError) {
      return .success(try DispatchRow.read(Array(lines.utf8), file: "f", labels: ["science", "other"]))
    } catch { return .failure(error) }
  }

  @Test func aPromptOrATasksRowWithALabelIsARow() throws {
    let rows = try read(
      #"""
      {"prompt":"p","label":"science"}

      {"question":"q","choices":["a","b"],"answer":0,"label":"other"}
      {"messages":[{"role":"user","content":"first"},{"role":"user","content":"last"}],"label":"other"}
      """#
    ).get()
    #expect(
      rows == [
        DispatchRow(line: 1, prompt: "p", label: "science"), DispatchRow(line: 3, prompt: "q", label: "other"),
        DispatchRow(line: 4, prompt: "last", label: "other"),
      ])
  }

  @Test(arguments: [
    (#"{"prompt":"p"}"#, "f, line 1: the row has no \"label\"; it has prompt"),
    (
      #"{"text2":"p","label":"other"}"#,
      "f, line 1: the row has neither \"prompt\" nor \"question\"; it has text2, label"
    ),
    (#"{"prompt":"p","label":"social"}"#, "f, line 1: the label 'social' is none of science, other"),
    ("[1]", "f, line 1: a row is a JSON object, found an integer"), ("{", "f, line 1: not JSON: "),
    ("\n\n", "'f' has no rows"), ("version https://git-lfs.github.com/spec/v1\n", "f: this is a Git LFS pointer"),
  ])
  func whatIsWrongIsNamedWithItsLine(lines: String, message: String) {
    guard case .failure(let error) = read(lines) else {
      Issue.record("\(lines) was read")
      return
    }
    #expect(error.description.hasPrefix(message), "\(error)")
  }
}
