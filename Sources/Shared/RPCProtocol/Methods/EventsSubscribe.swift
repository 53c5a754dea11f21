package import Records
package import StrictJSON

package enum EventsSubscribe: RPCMethodDeclaration {
  package static let name = "events.subscribe"
  package static let access = RPCMethod.Access.read
  package static let verb = "events"
  package static let summary = "Past events; then each further one as a notification `event` on this connection."
  package static let resultNotes =
    "an event has what its kind has besides; notification params are one such event; where next is there, more have "
    + "happened already: ask for those after it, and following begins with the answer that has none; history_begins is "
    + "there where what directly followed after is not kept any more, and is the first that is"

  package struct Parameters: Record {
    @Setting("the oldest events after this sequence number; default the newest", 0...Int64.max)
    package var after: Int64?
    @Setting("at most N past events", 0...4_096) package var limit = 50
    @Setting("only these kinds") package var events: [String]?
    @Setting("send further events as they come") package var follow = true
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    /// Of the newest event.
    package var sequence: Int64
    /// Oldest first.
    package var events: [Event]
    /// To go on after, where there are more.
    package var next: Int64?
    package var historyBegins: Int64?

    package init(sequence: Int64, events: [Event], next: Int64? = nil, historyBegins: Int64? = nil) {
      self.sequence = sequence
      self.events = events
      self.next = next
      self.historyBegins = historyBegins
    }
  }
}

/// Something that happened: the params of a notification `event`.
package struct Event: Codable, Sendable, Equatable {
  package var sequence: Int64
  package var time: String
  /// What kind of event: `expert.version`, `mixture.published`, `job.done`.
  package var event: String
  package var subject: String
  /// What the kind of event has besides.
  package var detail: JSONObject

  package init(sequence: Int64, time: String, event: String, subject: String, detail: JSONObject) {
    self.sequence = sequence
    self.time = time
    self.event = event
    self.subject = subject
    self.detail = detail
  }

  private enum CodingKeys: String, CodingKey { case sequence, time, event, subject }

  private struct Detail: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  package init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    sequence = try container.decode(Int64.self, forKey: .sequence)
    time = try container.decode(String.self, forKey: .time)
    event = try container.decode(String.self, forKey: .event)
    subject = try container.decode(String.self, forKey: .subject)
    detail = [:]
    let others = try decoder.container(keyedBy: Detail.self)
    for key in others.allKeys where CodingKeys(stringValue: key.stringValue) == nil {
      detail[key.stringValue] = try others.decodeNil(forKey: key) ? .null : others.decode(JSONValue.self, forKey: key)
    }
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(sequence, forKey: .sequence)
    try container.encode(time, forKey: .time)
    try container.encode(event, forKey: .event)
    try container.encode(subject, forKey: .subject)
    var others = encoder.container(keyedBy: Detail.self)
    for (name, value) in detail.members { try others.encode(value, forKey: Detail(stringValue: name)) }
  }
}
