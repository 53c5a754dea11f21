package import RPCProtocol
package import Records
package import Results

/// A line of a mixture's history: a mixture that was served, or that what is served became stale or fresh.
package struct MixtureLogEntry {
  package var generation: Int64
  package var time: String
  package var model: String
  /// `served`, `stale` or `fresh`.
  package var event: String
  package var alpha = ""
  package var experts = ""
  package var reason: String
  package var job = ""
}

/// Newest first, of the result of `mixture.log`.
package func mixtureLogEntries(_ log: MixtureLog.Result) -> [MixtureLogEntry] {
  let revisions = log.revisions.map { revision in
    MixtureLogEntry(
      generation: revision.generation, time: revision.time, model: revision.model, event: "served",
      alpha: shortAlpha(revision.alpha),
      experts: revision.experts.map { "\($0.name)@\($0.version)" }.joined(separator: " "), reason: revision.reason,
      job: "\(revision.job)")
  }
  let changes = log.changes.filter { $0.event != "mixture.published" }.map { change in
    MixtureLogEntry(
      generation: change.sequence, time: change.time, model: change.model ?? "-",
      event: change.event == "mixture.stale" ? "stale" : "fresh", reason: change.reason ?? "")
  }
  return (revisions + changes).sorted { $0.generation > $1.generation }
}

/// The coefficients in a line: `science=0.700 social=0.05..0.31`, the latter of one that has several.
package func shortAlpha(_ alpha: ByName<Mixture.Coefficients>) -> String {
  alpha.entries.map { entry in
    let numbers = entry.value.values
    guard case .each = entry.value, let low = numbers.min(), let high = numbers.max() else {
      return "\(entry.name)=\(fixed(Double(numbers.first ?? 0), 3))"
    }
    return "\(entry.name)=\(fixed(Double(low), 2))..\(fixed(Double(high), 2))"
  }.joined(separator: " ")
}
