package import StrictJSON

extension RPCMethod {
  /// Refuses what the table does not know, lacks what it needs, or has another type.
  package func check(_ params: JSONObject) throws(RPCError) {
    for (key, value) in params.members {
      guard let parameter = parameters.first(where: { $0.name.utf8.elementsEqual(key.utf8) }) else {
        let names = parameters.map(\.name)
        let near = key.utf8.count <= 64 ? nearestName(to: key, among: names) : nil
        throw RPCError(
          .invalidParams, "\(name) has no parameter \(quoted(key))",
          hint: near.map { "did you mean '\($0)'?" }
            ?? (names.isEmpty ? "it takes none" : "it takes \(names.joined(separator: ", "))"))
      }
      if let problem = parameter.type.problem(with: value) {
        throw RPCError(.invalidParams, "\(name): '\(parameter.name)' \(problem)", hint: parameter.summary)
      }
    }
    for parameter in parameters where parameter.isRequired && params[parameter.name] == nil {
      throw RPCError(.invalidParams, "\(name) needs '\(parameter.name)'", hint: parameter.summary)
    }
  }
}

extension RPCParameterType {
  /// Why the value does not do, as the rest of a sentence; nil where it does.
  package func problem(with value: JSONValue) -> String? {
    func wrong(_ expected: String) -> String { "must be \(expected), and is \(value.asFound)" }
    switch self {
    case .string:
      guard case .string = value else { return wrong("a string") }
    case .choice(let allowed):
      let list = allowed.joined(separator: ", ")
      guard case .string(let text) = value else { return wrong("one of \(list)") }
      guard !allowed.contains(where: { $0.utf8.elementsEqual(text.utf8) }) else { return nil }
      let near = text.utf8.count <= 64 ? nearestName(to: text, among: allowed) : nil
      return "must be one of \(list), and is \(quoted(text))" + (near.map { "; did you mean '\($0)'?" } ?? "")
    case .integer(let range):
      guard case .integer(let number) = value else { return wrong("an integer") }
      guard range.contains(number) else {
        return range.upperBound == Int64.max
          ? "must be at least \(range.lowerBound), and is \(number)"
          : "must be from \(range.lowerBound) to \(range.upperBound), and is \(number)"
      }
    case .integers(let range):
      guard case .array(let items) = value else { return wrong("a list of integers") }
      guard !items.isEmpty else { return "is an empty list" }
      for (index, item) in items.enumerated() {
        if let problem = Self.integer(range).problem(with: item) {
          return "must be a list of integers; item \(index) \(problem)"
        }
      }
    case .number(let range):
      guard let number = value.doubleValue else { return wrong("a number") }
      guard range.contains(number) else {
        return "must be from \(range.lowerBound) to \(range.upperBound), and is \(number)"
      }
    case .numbers(let range):
      guard case .array(let items) = value else { return wrong("a list of numbers") }
      guard !items.isEmpty else { return "is an empty list" }
      for (index, item) in items.enumerated() {
        if let problem = Self.number(range).problem(with: item) {
          return "must be a list of numbers; item \(index) \(problem)"
        }
      }
    case .boolean:
      guard case .bool = value else { return wrong("true or false") }
    case .strings:
      guard case .array(let items) = value else { return wrong("a list of strings") }
      for (index, item) in items.enumerated() {
        guard case .string = item else { return "must be a list of strings; item \(index) is \(item.asFound)" }
      }
    case .text:
      if case .string = value { return nil }
      guard case .array(let items) = value else { return wrong("a string or a list of token ids") }
      for (index, item) in items.enumerated() {
        guard case .integer(let id) = item, (0...Int64(Int32.max)).contains(id) else {
          return "must be a string or a list of token ids; item \(index) is \(item.asFound)"
        }
      }
    case .tokens:
      guard case .array(let items) = value else { return wrong("a list of token ids") }
      guard !items.isEmpty else { return "is an empty list" }
      for (index, item) in items.enumerated() {
        guard case .integer(let id) = item, (0...Int64(Int32.max)).contains(id) else {
          return "must be a list of token ids; item \(index) is \(item.asFound)"
        }
      }
    case .coefficients:
      guard case .object(let object) = value else { return wrong("an object of numbers by expert") }
      guard !object.members.isEmpty else { return "names no expert" }
      for (key, value) in object.members where !Self.isCoefficient(value) {
        return "must give a number (or a list of them) for \(quoted(key)), and has \(value.asFound)"
      }
    case .messages:
      guard case .array(let items) = value else { return wrong("a list of messages") }
      guard !items.isEmpty else { return "is an empty list" }
      for (index, item) in items.enumerated() {
        guard case .object(let message) = item, message.members.count == 2, case .string? = message["role"],
          case .string? = message["content"]
        else { return "must be a list of {\"role\", \"content\"}; item \(index) is not" }
      }
    }
    return nil
  }

  private static func isCoefficient(_ value: JSONValue) -> Bool {
    // A mixture is made in floats.
    func fits(_ value: JSONValue) -> Bool { value.doubleValue.map { Float($0).isFinite } ?? false }
    guard case .array(let items) = value else { return fits(value) }
    return !items.isEmpty && items.allSatisfy(fits)
  }
}
