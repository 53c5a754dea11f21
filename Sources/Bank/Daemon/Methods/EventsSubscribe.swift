import Registry
import RPCProtocol
import RPCServer

extension EventsSubscribe: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let after = asked.after
    let limit = asked.limit
    let kinds = asked.events
    let follows = asked.follow
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let result: Result
      if let after {
        result = try oldest(after: after, limit: limit, kinds, coordinator.catalogue)
      } else {
        let newest = try answering { () throws(RegistryError) in
          (
            try coordinator.catalogue.events(limit: limit, kinds: kinds), try coordinator.catalogue.lastSequence()
          )
        }
        var page = Page(rows: limit)
        let rows = try page.rows(of: newest.0, by: { [.newest($0.sequence)] }) { $0.shown }
        result = Result(sequence: newest.1, events: rows.reversed())
      }
      // The answer is posted before any notification can be, so nothing is missed and nothing comes twice.
      reply.succeed(result)
      guard follows, result.next == nil else { return }
      coordinator.writer.followers.add(reply.connection, kinds: kinds)
    }
  }

  /// What a client has missed that has seen everything up to a number. Where it wants no past events it has missed none.
  private static func oldest(
    after: Int64, limit: Int, _ kinds: [String]?, _ catalogue: Catalogue
  ) throws(RPCError) -> Result {
    var page = Page(rows: min(limit, PageParameters.maximumRows))
    let (events, first, last) = try answering { () throws(RegistryError) in
      (
        try catalogue.events(after: after, limit: limit > 0 ? page.rowsLeft + 1 : 0, kinds: kinds),
        try catalogue.firstSequence(), try catalogue.lastSequence()
      )
    }
    let rows = try page.rows(of: events, by: { [.number($0.sequence)] }) { $0.shown }
    return Result(
      sequence: last, events: rows, next: page.next == nil ? nil : rows.last?.sequence,
      historyBegins: first.flatMap { $0 > after + 1 ? $0 : nil })
  }
}

extension EventRecord {
  var shown: Event {
    Event(sequence: sequence, time: time.description, event: kind, subject: subject, detail: detail)
  }
}
