import Settings
import StrictJSON
import SystemSupport
import TestSupport
import Testing

@testable import Tokenizer

/// Conversations as transformers renders them by the families' templates.
@Suite struct ChatCasesTests {
  static let cases: [TemplateCases.Case] = {
    do { return try TemplateCases.read("\(repository)/Tests/Fixtures/chat_cases.json") } catch {
      fatalError("\(error)")
    }
  }()
  static let families = Array(Set(cases.map(\.family))).sorted()

  /// What `etc/lib/make-chat-cases` has made of texts that are not in the tree.
  private static let others = environmentVariable("T2D_CHAT_CASES")

  @Test func thereAreTheCasesOfFourteenFamilies() {
    #expect(Self.cases.count == 227)
    #expect(Self.families.count == 14)
  }

  @Test(arguments: families) func everyConversationIsRenderedAsByTransformers(family: String) throws {
    for item in Self.cases where item.family == family {
      let text = try TemplateCases.text(of: item.template) ?? TemplatesAlike.all[item.template]
      try check(item, by: try #require(text, "there is no \(item.template)"))
    }
  }

  @Test(.enabled(if: others != nil, "T2D_CHAT_CASES names no file; etc/lib/make-chat-cases makes one"))
  func templatesOfOthersRenderAsByJinja() throws {
    let path = try #require(Self.others)
    let file = try TemplateCases.parsed(path)
    let cases = try TemplateCases.read(path)
    #expect(!cases.isEmpty)
    for item in cases {
      let text = try #require(file["templates"]?[item.template]?.stringValue, "\(path) lacks '\(item.template)'")
      try check(item, by: text)
    }
  }

  private func check(_ item: TemplateCases.Case, by text: String) throws {
    let place = "\(item.template), \(item.family): \(item.conversation)"
    let tokens = TemplateCases.tokens(of: item.family)
    do throws(ChatTemplateError) {
      let template = try made(text, bos: tokens["bos_token"], eos: tokens["eos_token"])
      let pieces = try template.pieces(item.messages, addGenerationPrompt: item.isPrompt, options: item.options)
      #expect(pieces.map(\.text).joined() == item.rendered, "\(place)")
      let own = pieces.filter(\.recognizeSpecial).map(\.text).joined()
      for message in item.messages where message.content.contains("<|") || message.content.contains("[/INST]") {
        #expect(!own.contains("be evil"), "\(place): what a user wrote counts as the template's")
        #expect(pieces.contains { !$0.recognizeSpecial && $0.text.contains("<|im_end|>") }, "\(place)")
      }
    } catch .refused(let message) {
      #expect(message == item.error, "\(place)")
    } catch {
      #expect(item.rendered == nil && item.error == nil, "\(place): \(error)")
    }
  }

  @Test func theDateIsAnOptionAndNeverTodays() throws {
    let template = try made(TemplatesAlike.all["llama3.2.jinja"] ?? "")
    #expect(try template.render([.user("x")]).contains("Today Date: 26 Jul 2024\n"))
    let options = ChatOptions(chatDate: CalendarDay("2025-01-03"))
    #expect(try template.render([.user("x")], options: options).contains("Today Date: 03 Jan 2025\n"))
    let asks = try made("{{ messages[0].content }}{{ strftime_now('%A, %B %-d, %Y %H:%M %j') }}")
    #expect(try asks.render([.user("")]) == "Friday, July 26, 2024 00:00 208")
  }

}
