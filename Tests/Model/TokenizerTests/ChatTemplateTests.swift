import Settings
import StrictJSON
import SystemSupport
import TestSupport
import Testing

@testable import Tokenizer

@Suite struct ChatTemplateTests {
  /// What is said of a template that cannot be used, or of a chat that it cannot render.
  private func problem(_ text: String?, _ messages: [ChatMessage] = [.user("Hello")]) -> String {
    do throws(ChatTemplateError) {
      return "rendered: \(try ChatTemplate(text, tokens: ["bos_token": "<s>"]).render(messages))"
    } catch {
      return "\(error)"
    }
  }

  private func rendered(_ text: String, _ messages: [ChatMessage]) throws(ChatTemplateError) -> TemplateText {
    let values = messages.map { message in
      TemplateValue.dictionary(
        TemplateDictionary(
          entries: [
            (.text("role"), .text(message.role)),
            (.text("content"), .text(TemplateText(message.content, fromMessage: true))),
          ], depth: 1))
    }
    let variables: [String: TemplateValue] = [
      "messages": .list(TemplateList(items: values, depth: 2)), "tools": .none, "documents": .none,
      "add_generation_prompt": .bool(true), "bos_token": .text("<s>"), "eos_token": .text("</s>"),
    ]
    let run = TemplateRun(variables: variables, day: .standard, characters: 100, messages: messages.count)
    return try run.render(try TemplateParser.parse(text))
  }

  @Test func theReferenceChatsRenderAndEncodeExactly() throws {
    let template = try ChatTemplate(SmolLM2Fixture.chatTemplate)
    let tokenizer = SmolLM2Fixture.tokenizer
    #expect(SmolLM2Fixture.chats.count == 2)
    for chat in SmolLM2Fixture.chats {
      #expect(try template.render([.user(chat.user)]) == chat.rendered)
      #expect(try tokenizer.encode(template.pieces([.user(chat.user)])) == chat.ids)
      #expect(tokenizer.encode(chat.rendered, recognizeSpecial: true) == chat.ids)
    }
  }

  /// `etc/lib/make-jinja-cases` says what jinja2 makes of each construct alone.
  @Test(
    arguments: [
      "\(repository)/Tests/Model/TokenizerTests/Fixtures/jinja_cases.json", environmentVariable("T2D_JINJA_CASES"),
    ].compactMap(\.self))
  func everyConstructDoesWhatJinjaDoes(path: String) throws {
    let file = try TemplateCases.parsed(path)
    let messages = TemplateCases.messages(file["messages"])
    let cases = try #require(file["cases"]?.arrayValue)
    #expect(cases.count > 500)
    for value in cases {
      let text = try #require(value.arrayValue?.first?.stringValue)
      do throws(ChatTemplateError) {
        let found = try rendered(text, messages).string
        #expect(found == value.arrayValue?.last?.stringValue, "\(text)")
      } catch {
        #expect(value.arrayValue?.last?.isNull == true, "\(text): \(error)")
      }
    }
  }

  // MARK: Origins

  @Test func whatAUserWroteStaysTheUsersHoweverItIsCut() throws {
    let content = " <|a|> b<|c|>"
    for expression in [
      "content", "content | trim", "content[1:]", "content[::-1]", "content.split('b')[0]", "content + ''",
      "content ~ 1",
      "content.replace('b', '')", "content | replace('b', 'x') | upper", "[content] | join",
      "content.strip().lstrip('<')",
      "content | tojson", "[content] | string", "{'x': content} | tojson(indent=2)", "content.partition('b') | first",
      "content.splitlines()[0]", "content | list | join", "content | indent(2, true)", "content.title()",
      "messages | map(attribute='content') | join(',')", "(content * 2)", "content | default('x')",
      "content | capitalize",
      "' '.join(content.split())", "content if content else ''", "content | reverse", "[content, 'b'] | sort | first",
    ] {
      let text = try rendered(
        "{% set content = messages[0].content %}{{ '<|own|>' ~ (\(expression)) ~ '<|own|>' }}", [.user(content)])
      let own = text.pieces.filter(\.recognizeSpecial).map(\.text).joined()
      #expect(own.hasPrefix("<|own|>") && own.hasSuffix("<|own|>"), "\(expression)")
      #expect(!own.dropFirst(7).dropLast(7).contains { "|<ac>AC".contains($0) }, "\(expression): \(own)")
    }
  }

  @Test func aMarkerThatIsHalfAUsersIsNone() throws {
    let pieces = try rendered("{{ '<|im_' + messages[0].content + '|>' }}", [.user("end")]).pieces
    #expect(
      pieces == [
        TextPiece("<|im_", recognizeSpecial: true), TextPiece("end", recognizeSpecial: false),
        TextPiece("|>", recognizeSpecial: true),
      ])
  }

  @Test func knownRolesAreTheTemplatesWordsAndOthersAreNot() throws {
    let template = try made("{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}{% endfor %}")
    let pieces = try template.pieces([.user("a"), ChatMessage(role: "im_end", content: "b")])
    #expect(pieces.map(\.text) == ["<|user|>", "a", "<|", "im_end", "|>", "b"])
    #expect(pieces.map(\.recognizeSpecial) == [true, false, true, false, true, false])
  }

  @Test func anOptionIsNoMarker() throws {
    let template = try made("{{ messages[0].content }}{{ enable_thinking }}{{ thinking is defined }}")
    #expect(try template.render([.user("")]) == "False")
    #expect(try template.render([.user("")], options: ChatOptions(thinking: false)) == "FalseTrue")
  }

  // MARK: What is known of a template

  @Test func aTemplateIsNamedByItsMarkers() throws {
    for (file, name) in [
      "qwen3.jinja": "ChatML", "mistral-v0.3.jinja": "Mistral", "smollm3-unsloth.jinja": "ChatML",
      "llama3.1.jinja": "Llama 3", "llama2.jinja": "Llama 2", "gemma3.jinja": "Gemma", "phi3.5.jinja": "Phi",
    ] {
      let text = try TemplateCases.text(of: file) ?? TemplatesAlike.all[file]
      #expect(try made(try #require(text)).name == name)
    }
    #expect(try made("{{ messages[0].content }}").name == "custom")
  }

  @Test func theEndOfAnAnswerIsWhatTheTemplateWritesBehindOne() throws {
    for (file, end) in [
      "qwen3.jinja": "<|im_end|>\n", "mistral-v0.3.jinja": "</s>", "llama3.1.jinja": "<|eot_id|>",
      "gemma3.jinja": "<end_of_turn>\n", "llama2.jinja": " </s>",
    ] {
      let text = try TemplateCases.text(of: file) ?? TemplatesAlike.all[file]
      #expect(try made(try #require(text)).endOfAnswer == end)
    }
    #expect(try made("{{ messages[0].content }}").endOfAnswer == nil)
  }

  @Test func aTemplateThatCannotAskAQuestionIsAProblemAtOnce() {
    #expect(problem(nil).contains("no chat template"))
    #expect(problem("plain") == "a chat of one question fails: the question is not in the prompt that it makes")
    #expect(
      problem("{{ messages[0].content | shout }}")
        == "a chat of one question fails: line 1 of the model's chat template uses the filter 'shout', which t2d does not "
        + "know; give a prompt without the template ('chat: false')")
    #expect(
      problem("\n\n{{ messages[0].content }}{% include 'x' %}").hasPrefix("line 3 of the model's chat template uses"))
    #expect(problem("{{ messages[0].content").contains("line 1 of the model's chat template cannot be read"))
  }

  @Test func whatIsNotReachedDoesNotMatter() throws {
    let template = try made("{% if tools %}{{ tools | shout }}{{ whisper(tools) }}{% endif %}{{ messages[0].content }}")
    #expect(try template.render([.user("x")]) == "x")
  }

  @Test func aRefusalIsInTheTemplatesWordsAndSaysWhatToDo() {
    let text =
      "{% for m in messages %}{% if m.role != 'user' %}{{ raise_exception('only users, not ' + m.role) }}{% endif %}"
      + "{{ m.content }}{% endfor %}"
    #expect(
      problem(text, [.user("a"), .system("b")])
        == "the model's chat template refuses this conversation: 'only users, not system'; send the roles in the order that "
        + "it wants, or a prompt without the template ('chat: false')")
  }

  @Test(arguments: [
    ("{% set x = y.z %}", "'y' is not defined, so it has no 'z'"), ("{{ 'a' + 1 }}", "'+' between a text and a number"),
    ("{{ 1 / 0 }}", "a division by 0"), ("{{ x() }}", "uses the function 'x'"),
    ("{{ 'a'.shout() }}", "uses the method 'shout' of a text"), ("{{ 1 is loud }}", "uses the test 'loud'"),
    ("{{ 'a' 1 }}", "expected the tag's end, found 1"), ("{% for %}", "expected a name, found the tag's end"),
    ("{{ 9223372036854775807 + 1 }}", "the result of '+' is too large"),
    ("{% block x %}", "uses the tag '{% block %}'"),
    ("{% if x %}", "'{% if %}' has no '{% endif %}'"), ("{{ [1 }}", "'}' stands where ']' should"),
    ("{{ strftime_now('%Q') }}", "uses the date format '%Q'"), ("{{ 'a }}", "a text has no closing '"),
    ("{% for x in [] recursive %}{% endfor %}", "a loop that is 'recursive'"), ("{{ 1 ? 2 }}", "the character '?'"),
    ("{{ x.append(1) if x else [].append(1) }}", "uses the method 'append' of a list"),
    ("{{ none | length }}", "none has no length"),
    ("{{ 'x' | tojson(ensure_ascii=true) }}", "'tojson' with 'ensure_ascii'"),
  ])
  func anErrorSaysWhatAndWhere(text: String, words: String) {
    let said = problem("{# first #}\n{{ messages[0].content }}" + text)
    #expect(said.contains("line 2 of the model's chat template"), "\(said)")
    #expect(said.contains(words), "\(said)")
  }
}
