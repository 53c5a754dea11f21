import Evaluation
import Settings
import StrictJSON
import Tokenizer

extension HostileReader {
  // MARK: - JSON

  static let json = HostileReader(
    "json",
    texts: [
      #"{"a":[1,-2.5e3,true,false,null,"x\n\u00e9\ud83d\ude00"],"b":{"c":"","d":[[],{}]},"n":9223372036854775807}"#,
      #"[0.1, 1e-300, 123456789012345678901e5, "é", "\/\b\f\t\"\\", {"\u0061":[{"a":[{}]}]}]"#,
    ]
  ) { try readBack($0, .strict) }

  static let json5 = HostileReader(
    "json5",
    texts: [
      "{'a': 0x1F, b: +.5e1, /* c */ c: [1, 2,], // d\n d: 'x\\\n\\x41',}", "[+1, .5, -0xff, '\\'', \"\\v\"]",
    ]
  ) { try readBack($0, .json5) }

  /// What is read is written in both ways and read again; what is written is the same then.
  private static func readBack(_ bytes: [UInt8], _ dialect: JSONDialect) throws {
    let value = try parseJSON(bytes, dialect: dialect)
    for pretty in [false, true] {
      let text = value.serialized(pretty: pretty)
      // Escapes and indentation may make it longer than what is read by default.
      let again = try ours("our own text is refused") { try parseJSON(text, limits: JSONLimits(maximumBytes: 1 << 26)) }
      try promise(again == value, "another value is read back")
      try promise(again.serialized(pretty: pretty) == text, "another text is written of what was read back")
    }
  }

  // MARK: - Chat templates

  /// A model's template is a program: it is read and run, and ends by itself.
  static let chatTemplate = HostileReader(
    "chat-template",
    texts: [
      #"""
      {% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}
      {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
      """#,
      #"""
      {%- set ns = namespace(last=messages|length - 1, seen=[]) -%}
      {%- macro turn(role, text='') %}{{ "<" ~ role ~ ">" }}{{ text|trim }}{% endmacro %}
      {%- for m in messages[::-1] if m.role == 'user' and ns.last > 0 -%}
        {%- if loop.first and not m.content.startswith('/') %}{% set ns.last = loop.index0 %}{% else %}{% continue %}{% endif -%}
      {%- endfor -%}
      {# who speaks #}{% for m in messages %}
        {%- set words = m.content.split('</think>')[-1].lstrip('\n') if '</think>' in m.content else m.content -%}
        {{- turn(m['role'], words) + bos_token }}{{ m | tojson(indent=2) if tools is not none }}
        {%- set ns.seen = ns.seen + [m.role] -%}
      {%- endfor -%}
      {{ ns.seen | join(', ') }}{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | list | last }}
      """#,
    ]
  ) { bytes in
    let template = try ChatTemplate(String(decoding: bytes, as: UTF8.self), tokens: ["bos_token": "<s>"])
    let messages: [ChatMessage] = [
      .system("s"), .user("<think>x</think>\u{e9}"), .assistant("/a"), .user(" Hello\n"),
    ]
    let (pieces, again) = (try? template.pieces(messages), try? template.pieces(messages))
    try promise(pieces == again, "the same chat is rendered in two ways")
  }

  // MARK: - Tasks

  static let rows = HostileReader(
    "rows",
    texts: [
      #"{"id":"q1","question":"Which?","choices":{"text":["red","green"],"label":["A","B"]},"answerKey":"B","label":"x"}"#,
      #"{"question":{"stem":"Which?","choices":[{"text":"red","label":"1"},{"text":"blue","label":2}]},"answerKey":2}"#,
      #"{"question":"Which?","choices":["red","green","blue"],"answer":1}"# + "\n\n"
        + #"{"question":"And which?","choices":["red","green"],"answer":"B"}"#,
      #"{"question":"How many?","answer":"3 + 4 = <<3+4=7>>7\n#### 7"}"#,
      #"{"prompt":"Go on","completion":"-$1,200.50 and more"}"#, #"{"input":"a","output":-1.5e3}"#,
      #"{"messages":[{"role":"system","content":"s"},{"role":"user","content":"u"},{"role":"assistant","content":"42"}]}"#,
      #"{"task_id":7,"prompt":"def f():\n","test":"def check(f): pass","entry_point":"f","canonical_solution":"  pass"}"#,
      #"{"text":"Write f.","test_list":["assert f()"],"test_imports":["import os"],"test_setup_code":"","code":"x"}"#,
    ]
  ) { bytes in
    let task = try task(bytes)
    try use(task)
    let lines = task.shots.map { JSONValue.object($0.fields).serialized() + [0x0a] }
    let again = try ours("the rows as we write them are refused") { try Self.task(Array(lines.joined())) }
    try promise(again.digest == task.digest, "the task has another digest when its rows are written anew")
  }

  /// `task.json5`, with all that is made of it before a model sees a row.
  static let settings = HostileReader(
    "settings",
    texts: [
      """
      {scoring: "generate", metric: "exact_match", template: "Q: {question} {{x}}\\nA:", system: "s", chat: false,
      max_tokens: 64, stop: ["\\n", "Q:"], model: "m", experts: ["a", "b"], description: "d", license: "l",
      extract: ["strict", "(a+)(b)?", {name: "n", regex: "[0-9]{1,3}|(?<x>[a-z&&[^aeiou]])", group: 1, pick: "first",
      compare: "number"}], search: {method: "cem", granularity: "layer", mix: "delta", objective: "loglik",
      iterations: 3, population: 8, elite: 0.2, seed: 7, shots: 4, normalized: true, range: [0, 1.5],
      budget: {prompts: 100, seconds: 1.5}}}
      """,
      #"{"extract": "flexible", "experts": "*", "stop": "\n", "search": {"range": [-1, 1]}}"#,
    ]
  ) { bytes in
    let task = try task(Array(#"{"question":"How many?","answer":"7"}"#.utf8), settings: bytes)
    try use(task)
    if let rules = task.settings.extract {
      _ = try AnswerExtractor(rules.items).score("aab 12 x", gold: .number("12"))
    }
  }

  private static func task(_ rows: [UInt8], settings: [UInt8]? = nil) throws(TaskFileError) -> TaskDefinition {
    try TaskDefinition(
      name: "t",
      files: .init(
        fewshot: .init(name: "fewshot.jsonl", bytes: rows),
        settings: settings.map { .init(name: "task.json5", bytes: $0) }))
  }

  private static func use(_ task: TaskDefinition) throws(BrokenPromise) {
    try promise(!task.shots.isEmpty, "a task without rows was accepted")
    _ = (task.templateName, task.stops(chat: true), task.stops(chat: false))
    for row in task.shots {
      _ = (task.prompt(for: row), task.requests(for: row), task.continuations(for: row), task.request(of: row))
      _ = (task.solution(for: row, chat: false), row.question, row.goldAnswer)
    }
  }
}
