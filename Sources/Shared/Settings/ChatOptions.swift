package import Records

/// What a chat template can be told beside the messages. Where nothing is said, the template's own default counts, and a
/// fixed day for one that asks for today's: a prompt never depends on when it is made.
package struct ChatOptions: Record {
  @Setting("day that a chat template with a date is told, such as 2024-07-26; default the template's own")
  package var chatDate: CalendarDay?
  @Setting("whether the model thinks before it answers, where its chat template asks; default the template's own")
  package var thinking: Bool?

  package init() {}

  package init(chatDate: CalendarDay? = nil, thinking: Bool? = nil) {
    (self.chatDate, self.thinking) = (chatDate, thinking)
  }
}

/// A day without a place or a clock, written `2024-07-26`.
package struct CalendarDay: RecordValue {
  package let year: Int
  package let month: Int
  package let day: Int

  /// What a template is told that asks for today: the day that Llama 3's own templates fall back on.
  package static let standard = CalendarDay(year: 2024, month: 7, day: 26)

  private init(year: Int, month: Int, day: Int) { (self.year, self.month, self.day) = (year, month, day) }

  /// Nil for what is not written so, or is no day.
  package init?(_ text: String) {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.map(\.utf8.count) == [4, 2, 2], text.utf8.allSatisfy({ $0 == 0x2D || (0x30...0x39).contains($0) }),
      let year = Int(parts[0]), let month = Int(parts[1]), let day = Int(parts[2]), year > 0, (1...12).contains(month),
      (1...Self.days(inMonth: month, year)).contains(day)
    else { return nil }
    self.init(year: year, month: month, day: day)
  }

  private static func days(inMonth month: Int, _ year: Int) -> Int {
    if month == 2 { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28 }
    return [4, 6, 9, 11].contains(month) ? 30 : 31
  }

  package var text: String { "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))" }

  // MARK: Formatting

  /// As C's `strftime` at midnight, in English; nil for a conversion that is not known.
  package func formatted(_ format: String) -> String? {
    var result = ""
    var scalars = format.unicodeScalars[...]
    while let scalar = scalars.popFirst() {
      guard scalar == "%" else {
        result.unicodeScalars.append(scalar)
        continue
      }
      let isBare = scalars.first == "-"
      if isBare { scalars.removeFirst() }
      guard let letter = scalars.popFirst(), let text = conversion(letter) else { return nil }
      result += isBare ? String(text.drop { $0 == "0" || $0 == " " }) : text
    }
    return result
  }

  private func conversion(_ letter: Unicode.Scalar) -> String? {
    switch letter {
    case "d": padded(day, 2)
    case "e": day < 10 ? " \(day)" : "\(day)"
    case "m": padded(month, 2)
    case "Y": padded(year, 4)
    case "y": padded(year % 100, 2)
    case "B": Self.months[month - 1]
    case "b", "h": String(Self.months[month - 1].prefix(3))
    case "A": Self.weekdays[weekday]
    case "a": String(Self.weekdays[weekday].prefix(3))
    case "j": padded(dayOfYear, 3)
    case "F": text
    case "D": "\(padded(month, 2))/\(padded(day, 2))/\(padded(year % 100, 2))"
    case "H", "M", "S": "00"
    case "I": "12"
    case "p": "AM"
    case "T": "00:00:00"
    case "R": "00:00"
    case "%": "%"
    default: nil
    }
  }

  private var dayOfYear: Int { (1..<month).reduce(day) { $0 + Self.days(inMonth: $1, year) } }

  /// 0 is Monday.
  private var weekday: Int {
    let years = year - 1
    return (years * 365 + years / 4 - years / 100 + years / 400 + dayOfYear - 1) % 7
  }

  private static let months = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
  ]
  private static let weekdays = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]

  private func padded(_ number: Int, _ width: Int) -> String {
    String(repeating: "0", count: max(0, width - "\(number)".count)) + "\(number)"
  }

  // MARK: Records

  package static var valueType: ValueType { .custom("date") }

  package init(from decoder: any Decoder) throws {
    let text = try decoder.singleValueContainer().decode(String.self)
    guard let day = CalendarDay(text) else {
      throw RecordError(.invalid, in: decoder, "must be a day such as \(Self.standard.text), and is \(quoted(text))")
    }
    self = day
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(text)
  }
}
