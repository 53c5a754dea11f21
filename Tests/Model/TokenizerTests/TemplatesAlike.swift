/// Templates of our own that do what those of families do whose texts are not ours to ship; made from descriptions of their
/// prompts. `etc/lib/make-chat-cases` compares with the real ones.
enum TemplatesAlike {
  /// By the names in `chat_cases.json`.
  static let all: [String: String] = [
    "llama3.jinja": llama3(prompt: "add_generation_prompt"), "llama3-always-prompt.jinja": llama3(prompt: "true"),
    "llama3.1.jinja": llama31(today: "'26 Jul 2024'"), "llama3.2.jinja": llama31(today: "strftime_now('%d %b %Y')"),
    "llama2.jinja": llama2, "gemma3.jinja": gemma(between: #"\n\n"#),
    "gemma3-first-release.jinja": gemma(between: #"\n"#), "phi3.5.jinja": phi,
  ]

  /// Each turn under a header of its role, trimmed.
  private static func llama3(prompt: String) -> String {
    #"""
    {%- macro header(role) %}<|start_header_id|>{{ role }}<|end_header_id|>{{ "\n\n" }}{% endmacro -%}
    {%- for turn in messages -%}
      {%- if loop.first %}{{ bos_token }}{% endif -%}
      {{ header(turn.role) ~ turn.content.strip() ~ "<|eot_id|>" }}
    {%- endfor -%}
    {%- if \#(prompt) %}{{ header("assistant") }}{% endif -%}
    """#
  }

  /// The same with a system message in any case, which says what day it is.
  private static func llama31(today: String) -> String {
    #"""
    {{- bos_token -}}
    {%- set day = date_string if date_string is defined else \#(today) -%}
    {%- set told = messages | first -%}
    {%- set turns = messages[1:] if told.role == "system" else messages -%}
    <|start_header_id|>system<|end_header_id|>{{ "\n\nCutting Knowledge Date: December 2023\nToday Date: " ~ day ~ "\n\n" -}}
    {{ told.content | trim if told.role == "system" }}<|eot_id|>
    {%- for turn in turns -%}
      <|start_header_id|>{{ turn["role"] }}<|end_header_id|>{{ "\n\n" ~ turn["content"] | trim }}<|eot_id|>
    {%- endfor -%}
    {%- if add_generation_prompt -%}
      <|start_header_id|>assistant<|end_header_id|>{{ "\n\n" }}
    {%- endif -%}
    """#
  }

  /// What is asked stands in brackets, the system message in those of the first turn.
  private static let llama2 = #"""
    {%- set ns = namespace(system=none, turn=0) -%}
    {%- for m in messages -%}
      {%- if m.role == "system" and loop.first -%}
        {%- set ns.system = m.content -%}
      {%- else -%}
        {%- if (m.role == "user") != (ns.turn is even) -%}
          {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
        {%- endif -%}
        {%- set words = m.content -%}
        {%- if ns.turn == 0 and ns.system is not none -%}
          {%- set words = "<<SYS>>\n" ~ ns.system ~ "\n<</SYS>>\n\n" ~ words -%}
        {%- endif -%}
        {{ bos_token ~ "[INST] " ~ words | trim ~ " [/INST]" if m.role == "user" else " " ~ words | trim ~ " " ~ eos_token }}
        {%- set ns.turn = ns.turn + 1 -%}
      {%- endif -%}
    {%- endfor -%}
    """#

  /// The assistant is called model; what the system says stands before the first user's words, as it is.
  private static func gemma(between: String) -> String {
    #"""
    {{- bos_token -}}
    {%- if messages[0].role == "system" -%}
      {%- set before, turns = messages[0].content ~ "\#(between)", messages[1:] -%}
    {%- else -%}
      {%- set before, turns = "", messages -%}
    {%- endif -%}
    {%- for turn in turns -%}
      {%- set expected = ["user", "assistant"][loop.index0 % 2] -%}
      {%- if (turn.role == "user") != (expected == "user") -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
      {%- endif -%}
      {{ "<start_of_turn>" ~ {"assistant": "model"}.get(turn.role, turn.role) ~ "\n" }}
      {%- if loop.first %}{{ before }}{% endif -%}
      {{ turn.content | trim }}<end_of_turn>{{ "\n" }}
    {%- endfor -%}
    {{ "<start_of_turn>model\n" if add_generation_prompt }}
    """#
  }

  private static let phi = #"""
    {%- for turn in messages -%}
      {%- if turn.role in ["user", "assistant"] or turn.role == "system" and turn.content != "" -%}
        {{ "<|" ~ turn.role ~ "|>\n" ~ turn.content }}<|end|>{{ "\n" }}
      {%- endif -%}
    {%- endfor -%}
    {{ "<|assistant|>\n" if add_generation_prompt else eos_token }}
    """#
}
