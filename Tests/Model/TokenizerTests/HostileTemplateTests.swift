import Settings
import StrictJSON
import TestSupport
import Testing

@testable import Tokenizer

/// Templates that would take all time, memory, or stack. Each ends by itself with an error, in a process that must live.
@Suite struct HostileTemplateTests {
  private static func said(_ text: String, content: String = "x") -> String {
    do throws(ChatTemplateError) {
      return "rendered \(try ChatTemplate("{{ messages[0].content }}" + text).render([.user(content)]).utf8.count)"
    } catch {
      return "\(error)"
    }
  }

  private static func nested(_ open: String, _ inside: String, _ close: String, _ count: Int) -> String {
    String(repeating: open, count: count) + inside + String(repeating: close, count: count)
  }

  @Test(arguments: [
    "{% for i in range(1000000000) %}{% endfor %}", "{{ range(9223372036854775807) | list }}",
    "{{ range(-9223372036854775807, 9223372036854775807) | length }}",
    "{% for i in range(10000) %}{% for j in range(10000) %}{% for k in range(10000) %}{% endfor %}{% endfor %}{% endfor %}",
    "{{ 'x' * 1000000000000 }}", "{{ ('x' * 1000000) * 9223372036854775807 }}",
    "{% set ns = namespace(s='x') %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "{% set ns = namespace(l=[1]) %}{% for i in range(100) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
    "{% set ns = namespace(l='ab') %}{% for i in range(60) %}{% set ns.l = ns.l | replace('a', ns.l) %}{% endfor %}",
    "{% set ns = namespace(l=['ab']) %}{% for i in range(28) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}",
    "{% set ns = namespace(l=['ab']) %}{% for i in range(28) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l | tojson }}",
    "{% set ns = namespace(l=['ab']) %}{% for i in range(28) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l == ns.l }}",
    "{% for i in range(100000) %}{{ 'some words that are written again and again' * 100 }}{% endfor %}",
    "{% set x %}{% for i in range(100000) %}{{ 'y' * 1000 }}{% endfor %}{% endset %}",
    "{{ (['x'] * 5) }}{% for i in range(100000) %}{{ range(1000) | join(',') }}{% endfor %}",
    "{% set a = 'a' * 100000 %}{% for i in range(100000) %}{{ (a + 'b') in a + a }}{% endfor %}",
    "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(40) }}",
    "{% set ns = namespace(l=[]) %}{% for i in range(1000) %}{% set ns.l = [ns.l] %}{% endfor %}",
    "{% set ns = namespace(l={}) %}{% for i in range(1000) %}{% set ns.l = {'x': ns.l} %}{% endfor %}",
    "{% for i in range(100000) %}{% set n = namespace() %}{% endfor %}",
    "{{ 2 ** 64 }}", "{{ 10 ** 1000000000 }}", "{{ 2.0 ** 100000 }}", "{{ -9223372036854775808 // -1 }}",
    "{{ 99999999999999999999 }}", "{{ 'x' | indent(9223372036854775807) }}",
    "{{ [1] | tojson(indent=9223372036854775807) }}",
    "{% for i in [1] %}{{ [loop] }}{% endfor %}", "{{ range(1, 2, 0) | list }}",
  ])
  func itEndsWithAnError(text: String) async {
    await #expect(processExitsWith: .success) { [text] in
      let said = Self.said(text)
      #expect(!said.hasPrefix("rendered"), "\(said)")
      #expect(said.contains("line") || said.contains("at most"), "\(said)")
    }
  }

  @Test func whatIsNestedTooDeepIsRefused() async {
    await #expect(processExitsWith: .success) {
      for text in [
        "{{ " + Self.nested("(", "1", ")", 100_000) + " }}", "{{ " + Self.nested("[", "", "]", 100_000) + " }}",
        "{{ " + Self.nested("-", "1", "", 100_000) + " }}", "{{ " + Self.nested("not ", "1", "", 100_000) + " }}",
        "{{ 1" + String(repeating: " + 1", count: 30_000) + " }}",
        "{{ 1" + String(repeating: " or 1", count: 30_000) + " }}",
        "{{ x" + String(repeating: ".x", count: 30_000) + " }}",
        "{{ x" + String(repeating: "|trim", count: 30_000) + " }}",
        "{{ x" + String(repeating: "()", count: 20_000) + " }}",
        "{{ x" + String(repeating: "[0]", count: 20_000) + " }}",
        "{{ " + Self.nested("{'a':", "1", "}", 20_000) + " }}",
        "{{ " + String(repeating: "1 if 1 else ", count: 20_000) + "1 }}",
        Self.nested("{% if 1 %}", "", "{% endif %}", 20_000),
        Self.nested("{% for i in [1] %}", "", "{% endfor %}", 20_000),
        Self.nested("{% set x %}", "", "{% endset %}", 20_000),
        Self.nested("{% macro f() %}", "", "{% endmacro %}", 20_000),
        "{{ f(" + Self.nested("g(", "1", ")", 20_000) + ") }}", String(repeating: "x", count: 2 << 20),
        "{{ " + String(repeating: "y", count: 500_000) + " }}",
      ] {
        let said = Self.said(text)
        #expect(!said.hasPrefix("rendered"), "\(text.prefix(20)): \(said)")
      }
    }
  }

  /// Both limits together: nested as deep as is allowed, in macros as deep as is allowed.
  @Test func theStackHasRoomForTheDeepestThatIsAllowed() async {
    await #expect(processExitsWith: .success) {
      let deep = Self.nested("(", "1", ")", 15) + String(repeating: " + 1", count: 90)
      #expect(Self.said("{{ \(deep) }}") == "rendered 3")
      let text =
        "{% macro f(n) %}" + Self.nested("{% if 1 %}", "{{ f(n + 1) + [\(deep)] | string }}", "{% endif %}", 40)
        + "{% endmacro %}{{ f(0) }}"
      #expect(Self.said(text).contains("nested more than"))
    }
  }

  /// Each may be where the text ends, and none is.
  @Test func aTemplateOfManyTagsWithinARawTextIsReadInTime() async {
    await #expect(processExitsWith: .success) {
      for tag in ["{% x", "{%endraw", "{%- endraw {", "{% endraw '", "{"] {
        let text = "{% raw %}" + String(repeating: tag, count: 200_000 / tag.utf8.count)
        var said = ""
        let time = processorTime { said = Self.said(text) }
        #expect(said.contains("'{% raw %}' has no '{% endraw %}'"), "\(said)")
        #expect(time < .seconds(5), "\(tag): \(time)")
        #expect(Self.said(text + "{%- endraw\n-%} y") == "rendered \(text.utf8.count - 9 + 2)")
      }
    }
  }

  @Test func aLongConversationIsNoHostileOne() throws {
    let file = try #require(try TemplateCases.text(of: "qwen3.jinja"))
    let template = try made(file)
    var messages: [ChatMessage] = []
    for turn in 0..<500 {
      messages += [.user("question \(turn)"), .assistant(String(repeating: "words ", count: 200))]
    }
    let text = try template.render(messages + [.user("last")])
    #expect(text.utf8.count > 600_000 && text.hasSuffix("<|im_start|>user\nlast<|im_end|>\n<|im_start|>assistant\n"))
    #expect(try template.render([.user(String(repeating: "x", count: 4 << 20))]).utf8.count > 4 << 20)
  }

  @Test func aMutatedTemplateIsReadOrRefused() async {
    await #expect(processExitsWith: .success) {
      for name in ["qwen3.jinja", "mistral-v0.3.jinja", "llama2.jinja"] {
        let text = try TemplateCases.text(of: name) ?? TemplatesAlike.all[name]
        let problem = withstand([Array(try #require(text).utf8)], count: 400) { bytes in
          let template = try ChatTemplate(
            String(decoding: bytes, as: UTF8.self), tokens: ["bos_token": "<s>", "eos_token": "</s>"])
          _ = try template.render([.system("s"), .user("x"), .assistant("<think>y</think>z"), .user("x")])
        }
        #expect(problem == nil, "\(name): \(problem ?? "")")
      }
    }
  }
}
