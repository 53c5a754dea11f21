import Testing

@testable import Tokenizer

@Suite struct ChatTemplateTests {
  private func problem(_ text: String?) -> String {
    do throws(TokenizerError) {
      return "recognised: \(try ChatTemplate.recognize(text))"
    } catch {
      return "\(error)"
    }
  }

  @Test func theReferenceChatsRenderAndEncodeExactly() throws {
    let template = try ChatTemplate.recognize(SmolLM2Fixture.chatTemplate)
    let tokenizer = SmolLM2Fixture.tokenizer
    #expect(SmolLM2Fixture.chats.count == 2)
    for chat in SmolLM2Fixture.chats {
      #expect(template.render([.user(chat.user)]) == chat.rendered)
      #expect(tokenizer.encode(template.pieces([.user(chat.user)])) == chat.ids)
      #expect(tokenizer.encode(chat.rendered, recognizeSpecial: true) == chat.ids)
    }
  }

  @Test func theDefaultSystemMessageComesFromTheTemplate() throws {
    let text = SmolLM2Fixture.chatTemplate.replacing(
      "You are a helpful AI assistant named SmolLM, trained by Hugging Face", with: "Be brief.")
    #expect(try ChatTemplate.recognize(text) == .chatML(defaultSystem: "Be brief."))
  }

  @Test func aSystemMessageReplacesTheDefault() throws {
    let template = ChatTemplate.chatML(defaultSystem: "default")
    #expect(
      template.render([.system("S"), .user("U"), .assistant("A")], addGenerationPrompt: false)
        == "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n")
  }

  @Test func chatMLIsRecognisedInItsCommonSpellings() throws {
    let compact =
      #"{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"#
    #expect(try ChatTemplate.recognize(compact) == .chatML(defaultSystem: nil))
    let spread = #"""
      {%- for message in messages %}
          {{- "<|im_start|>" + message.role + "\n" + message.content + "<|im_end|>\n" }}
      {%- endfor %}
      {%- if add_generation_prompt %}
          {{- "<|im_start|>assistant\n" }}
      {%- endif %}
      """#
    #expect(try ChatTemplate.recognize(spread) == .chatML(defaultSystem: nil))
    #expect(ChatTemplate.chatML(defaultSystem: nil).render([.user("x")]).hasPrefix("<|im_start|>user\nx<|im_end|>\n"))
  }

  @Test func missingFamiliesAreNamed() {
    #expect(problem("{{ '<|start_header_id|>' }}").contains("Llama 3"))
    #expect(problem("{{ '[INST] ' }}").contains("Mistral"))
    #expect(problem("{% if tools %}{{ '<|im_start|>system' }}{% endif %}").contains("Qwen2.5"))
    #expect(problem("<start_of_turn>").contains("Gemma"))
    #expect(problem(nil).contains("no chat template"))
  }

  @Test func anUnknownTemplateIsQuoted() {
    #expect(problem("{{ 'USER:\n' + messages }}").contains(#"begins '{{ 'USER:\n'"#))
    for broken in [
      "", "{", "{{", "{% for", "{{ 'a", "{{ 'a\\", "{{ }}", "{{ 'a' 'b' }}", "{{ 'a' + }}", "{%%}", "plain",
    ] {
      #expect(problem(broken).contains("no known family"), "\(broken)")
    }
  }

  @Test func aTemplateThatSaysMoreThanChatMLIsNotTakenForIt() {
    let extended = SmolLM2Fixture.chatTemplate.replacing("message['content']", with: "message['content'] | trim")
    #expect(problem(extended).contains("beyond the plain loop"))
    let suffixed = SmolLM2Fixture.chatTemplate + "{{ 'x' }}"
    #expect(problem(suffixed).contains("beyond the plain loop"))
  }
}
