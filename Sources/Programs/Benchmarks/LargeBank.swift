import Registry
import StrictJSON
import SystemSupport

/// Writes 100,000 experts, 1,000 tasks and 1,000,000 events into the catalogue of a bank whose daemon does not run: as the
/// store keeps them, by its own hands, and without the files that would have to be dropped for it. The tasks are searched from the next start on.
///
/// The experts share the blob of one that is there, and wait as candidates, so that they take part in nothing.
func writeLargeBank(_ prefix: String, task: [UInt8]) throws {
  let store = BlobStore(root: "\(prefix)/var/lib/t2d")
  let now = Timestamp(milliseconds: 1_700_000_000_000)
  let catalogue = try Catalogue(path: "\(store.root)/catalogue.sqlite", store: store, now: now)
  defer { catalogue.close() }
  let experts = try catalogue.experts()
  guard let sample = experts.first?.versions.first, let known = try catalogue.tasks().first?.current else {
    throw BenchmarkError("the bank has no expert and no task")
  }
  let details = try catalogue.details(ofExpert: sample.name, version: sample.version) ?? ""
  // Searches among two: the tasks are many, not the experts of each.
  let settings: JSONValue = ["experts": JSONValue(experts.prefix(2).map(\.name))]
  for part in 0..<100 {
    try catalogue.transaction { () throws(RegistryError) in
      for number in part * 1000..<(part + 1) * 1000 {
        var version = sample
        version.name = "stored\(number)"
        version.digest = "sha256:" + String(number, radix: 16).paddedLeft(to: 64).replacing(" ", with: "0")
        version.source = version.name + ".safetensors"
        version.quarantine = nil
        _ = try catalogue.addVersion(version, details: details)
      }
      for number in part * 10_000..<(part + 1) * 10_000 {
        _ = try catalogue.record("benchmark", "event\(number)", ["number": JSONValue(number)], now: now)
      }
      for number in part * 10..<(part + 1) * 10 {
        var revision = known
        revision.task = "task\(number)"
        revision.settings = settings
        _ = try catalogue.addRevision(revision)
      }
    }
    _ = catalogue.takeEvents()
  }
}
