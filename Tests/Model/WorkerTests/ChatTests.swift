import ModelSamples
import Settings
import StrictJSON
import SystemSupport
import Testing
import Transformer
import WorkerProtocol

/// Chats through a model's own template, in the worker. A token of the synthetic model is a byte, so that a prompt has as many
/// tokens as bytes.
@Suite struct ChatTests {
  /// A model with this template, which begins its texts with a token.
  private static func withModel(_ template: String, _ body: (TestWorker, SyntheticModel) throws -> Void) throws {
    try withTemporaryDirectory { directory in
      let sample = try SampleModel(in: directory)
      try sample.write("chat_template.jinja", template)
      try sample.write("tokenizer_config.json", ["bos_token": "~", "eos_token": "^"])
      // The sample is the synthetic model, changed.
      let model = try SyntheticModel(in: directory + "/other")
      let tokenizer = model.path + "/tokenizer.json"
      var json = try #require(try parseJSON(FileSystem.readAll(tokenizer, maximumBytes: 1 << 20)).objectValue)
      json["post_processor"] = Self.firstToken
      try FileSystem.writeAtomically(tokenizer, Array(JSONValue.object(json).jsonText.utf8))
      _ = try FileSystem.remove(model.path + "/model.safetensors")
      for name in ["model.safetensors", "chat_template.jinja", "tokenizer_config.json"] {
        try FileSystem.rename("\(sample.path)/\(name)", to: "\(model.path)/\(name)")
      }
      try body(try TestWorker(), model)
    }
  }

  /// Texts begin with `~`.
  private static let firstToken: JSONValue = [
    "type": "TemplateProcessing",
    "single": [["SpecialToken": ["id": "~", "type_id": 0]], ["Sequence": ["id": "A", "type_id": 0]]],
    "pair": [["Sequence": ["id": "A", "type_id": 0]], ["Sequence": ["id": "B", "type_id": 1]]],
    "special_tokens": ["~": ["id": "~", "ids": [126], "tokens": ["~"]]],
  ]

  private static func promptTokens(
    _ worker: TestWorker, _ model: SyntheticModel, _ input: GenerateCall.Request.Input, chat: ChatOptions? = nil
  ) throws -> Int {
    let call = GenerateCall(model: model.reference, requests: [.init(input: input)], maximumTokens: 1, chat: chat)
    let answer = try GenerateAnswer(decoding: try worker.answer(.generate(call)).get())
    return try #require(answer.generations.first).promptTokens
  }

  private static let dated =
    "{{ bos_token }}{{ date_string if date_string is defined else 'never' }}{{ messages[0].content }}"
    + "{{ enable_thinking }}"

  @Test func theTemplateWritesTheFirstTokenAndNobodyElse() throws {
    try Self.withModel(Self.dated) { (worker: TestWorker, model: SyntheticModel) throws in
      #expect(try Self.promptTokens(worker, model, .prompt("abc")) == "~abc".utf8.count)
      let messages = [ChatMessage(role: "user", content: "abc")]
      #expect(try Self.promptTokens(worker, model, .messages(messages)) == "~neverabc".utf8.count)
    }
  }

  @Test func theOptionsReachTheTemplate() throws {
    try Self.withModel(Self.dated) { (worker: TestWorker, model: SyntheticModel) throws in
      let options = ChatOptions(chatDate: CalendarDay("2025-01-03"), thinking: false)
      let tokens = try Self.promptTokens(
        worker, model, .messages([ChatMessage(role: "user", content: "abc")]), chat: options)
      #expect(tokens == "~03 Jan 2025abcFalse".utf8.count)
    }
  }

  @Test func aRefusalOfTheTemplateIsTheAnswer() throws {
    let template = """
      {% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}\
      {{ raise_exception('roles must alternate') }}{% endif %}{{ m.content }}{% endfor %}
      """
    try Self.withModel(template) { (worker: TestWorker, model: SyntheticModel) throws in
      let messages = [ChatMessage(role: "user", content: "a"), ChatMessage(role: "user", content: "b")]
      let call = GenerateCall(model: model.reference, requests: [.init(input: .messages(messages))], maximumTokens: 1)
      guard case .failure(let fault) = try worker.answer(.generate(call)) else {
        Issue.record("two users after each other are taken")
        return
      }
      #expect(fault.kind == .unsupported)
      #expect(fault.message.contains("refuses this conversation: 'roles must alternate'"))
    }
  }

  /// `^` is the tokenizer's own end, 2 the configuration's.
  @Test func anAnswerEndsAsTheTemplateEndsIt() throws {
    for (end, token) in [("x^\n", Int32(94)), ("x", nil)] {
      let template = "{% for m in messages %}{{ m.content }}{% if m.role == 'assistant' %}\(end){% endif %}{% endfor %}"
      try Self.withModel(template) { (_: TestWorker, model: SyntheticModel) throws in
        let loaded = try LanguageModel.load(path: model.path, factorizationDirectory: nil)
        #expect(loaded.facts.endOfAnswer == token)
        #expect(loaded.facts.endIDs == [94, 2])
      }
    }
  }

  @Test func whatATemplateIsStandsInTheFacts() throws {
    for (template, name, problem) in [
      ("<|im_start|>{{ messages[0].content }}", "ChatML", nil), ("{{ messages[0].content | shout }}", nil, "shout"),
    ] {
      try Self.withModel(template) { (worker: TestWorker, model: SyntheticModel) throws in
        let inspection = InspectSpec(path: model.path, cacheDirectory: model.reference.cacheDirectory)
        let facts = try ModelFacts(decoding: try worker.run(inspection).ending.result())
        #expect(facts.chatTemplate == name)
        #expect(facts.chatTemplateProblem?.contains(problem ?? "") == (problem == nil ? nil : true))
      }
    }
  }
}
