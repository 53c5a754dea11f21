import StrictJSON

extension RowShape {
  /// Rows that are conversations. What a model is asked are all turns but the last, which is the right answer.
  static let chats = [
    RowShape(
      fields: "messages", summary: "A chat, as for OpenAI's fine-tuning; the last turn of the assistant is the answer.",
      since: .first
    ) { (row) throws(TaskFileError) in
      // What is also there as a chat is there twice.
      row.pass(over: ["prompt", "prompt_id", "problem", "solution"])
      return try chat(row.turns("messages"), in: row, "messages")
    },
    RowShape(
      fields: "conversations", summary: "A chat, as for ShareGPT: from human and gpt."
    ) { (row) throws(TaskFileError) in
      var turns = try row.turns("conversations")
      if let system = try row.optionalText("system", "system_prompt"), turns.first?.role != "system" {
        turns.insert(PromptMessage(role: "system", content: system), at: 0)
      }
      return try chat(turns, in: row, "conversations")
    },
    RowShape(
      fields: "prompt, chosen, rejected", summary: "A preference, as for DPO: the chosen answer is the right one."
    ) { (row) throws(TaskFileError) in
      row.pass(over: ["rejected"])
      let system = try row.optionalText("system", "system_prompt")
      guard row.members["prompt"]?.arrayValue != nil else {
        // Some write the question into both answers again.
        if row.members["chosen"]?.arrayValue != nil {
          _ = try row.text("prompt")
          return try chat(row.turns("chosen"), in: row, "chosen")
        }
        return prompted(try row.text("prompt"), system: system, answer: try row.text("chosen", for: .answer))
      }
      return try chat(row.turns("prompt") + row.turns("chosen", "assistant"), in: row, "chosen")
    },
    RowShape(
      fields: "chosen, rejected", summary: "A preference whose question is in both conversations.",
      fits: { $0.members["chosen"]?.arrayValue != nil }
    ) { (row) throws(TaskFileError) in
      row.pass(over: ["rejected"])
      return try chat(row.turns("chosen"), in: row, "chosen")
    },
    RowShape(
      fields: "prompt, completion", summary: "A chat in two parts, as for trl.",
      fits: { $0.members["prompt"]?.arrayValue != nil }
    ) { (row) throws(TaskFileError) in
      try chat(row.turns("prompt") + row.turns("completion", "assistant"), in: row, "completion")
    },
    RowShape(
      fields: "input, ideal", summary: "A chat and the right answer, or several, as for OpenAI's evals."
    ) { (row) throws(TaskFileError) in
      let answers =
        row.members["ideal"]?.arrayValue != nil
        ? try row.texts("ideal", for: .answer) : [try row.word("ideal")]
      guard let first = answers.first else { throw row.problem("ideal", "is empty") }
      let turns = try row.turns("input", "user")
      guard turns.last?.role == "user" else { throw row.problem("input", "must end with a user's message") }
      return RowContent(.generate(.messages(turns), gold: GoldAnswer(oneOf: answers)), solution: first)
    },
  ]

  private static func chat(
    _ turns: [PromptMessage], in row: RowFields, _ field: String
  ) throws(TaskFileError) -> RowContent {
    var turns = turns
    guard let last = turns.popLast(), last.role == "assistant" else {
      throw row.problem(field, "must end with the assistant's message, which is the right answer")
    }
    guard turns.last?.role == "user" else {
      throw row.problem(field, "needs a user's message before the assistant's last")
    }
    return RowContent(.generate(.messages(turns), gold: GoldAnswer(last.content)), solution: last.content)
  }

  /// A text to be continued, after what the system says where there is such a text.
  static func prompted(_ prompt: String, system: String?, answer: String) -> RowContent {
    let gold = GoldAnswer(answer)
    guard let system else { return RowContent(.generate(.prompt(prompt), gold: gold), solution: answer) }
    let turns = [PromptMessage(role: "system", content: system), PromptMessage(role: "user", content: prompt)]
    return RowContent(.generate(.messages(turns), gold: gold), solution: answer)
  }
}

extension RowFields {
  /// A list of turns in OpenAI's or ShareGPT's words, or a text, which is a turn of this role.
  mutating func turns(_ key: String, _ role: String? = nil) throws(TaskFileError) -> [PromptMessage] {
    let value = value(key, for: .question)
    if let role, let text = value?.stringValue { return [PromptMessage(role: role, content: text)] }
    guard let values = value?.arrayValue else { throw problem(key, "must be an array") }
    var turns: [PromptMessage] = []
    for (index, value) in values.enumerated() {
      let place = "message \(index + 1)"
      guard let written = value["role"]?.stringValue ?? value["from"]?.stringValue else {
        throw problem(key, "needs a 'role' and a 'content', both texts, in \(place)")
      }
      if let calls = value["tool_calls"], !calls.isNull, rules.reading > .first {
        throw problem(key, "calls a tool in \(place); a model is told of no tools here, so take such rows out")
      }
      guard let role = Self.roles[written] else {
        throw problem(
          key, "has the role '\(written.excerpt)' in \(place); system, user and assistant are known")
      }
      guard let content = try content(value["content"] ?? value["value"], key, place) else {
        throw problem(key, "needs a 'role' and a 'content', both texts, in \(place)")
      }
      turns.append(PromptMessage(role: rules.reading > .first ? role : written, content: content))
    }
    return turns
  }

  /// In ShareGPT's words too, and OpenAI's later one for the system.
  private static let roles = [
    "system": "system", "developer": "system", "user": "user", "human": "user", "assistant": "assistant",
    "gpt": "assistant", "model": "assistant", "chatgpt": "assistant", "bard": "assistant",
  ]

  /// A text, or parts of one. Nil for anything else.
  private func content(_ value: JSONValue?, _ key: String, _ place: String) throws(TaskFileError) -> String? {
    guard let parts = value?.arrayValue else { return value?.stringValue }
    var text = ""
    for part in parts {
      guard let piece = part["text"]?.stringValue, part["type"] == nil || part["type"] == "text" else {
        throw problem(
          key,
          "has a part of the kind '\((part["type"]?.stringValue ?? part.kindName).excerpt)' in \(place); texts are read"
        )
      }
      text += piece
    }
    return text
  }
}
