import Digests
import Experts
import Multipliers
import Registry
import RPCProtocol
import StrictJSON
import SystemSupport

/// The adapters that engines load: a directory for each mixture on each model, below the runtime directory.
///
///     adapters/MODEL/MIXTURE/adapter_config.json         0640, and the directories 0750, of the group of engines
///     adapters/MODEL/MIXTURE/adapter_model.safetensors
///
/// Both names are digests, so nothing that a client writes is part of a path. A directory is made under a temporary name
/// and renamed, so it is there whole or not at all, and is never changed: engines hold what they have loaded, and load it
/// again from here after an eviction of their own. What it holds can be made again, so all of it goes when t2d starts, and
/// what was resolved longest ago goes where the budget asks for room.
///
/// The catalogue's thread owns it.
final class AdapterStore {
  /// An engine that was just told of a directory has this long to load it.
  static let grace = Duration.seconds(30)
  /// Different mixtures of their own that users may have resolved within an hour: each is a file here and a slot there.
  static let maximumExpressionsOfUser = 256
  static let maximumExpressions = 1024
  static let expressionsLast = Duration.seconds(3600)

  private struct Key: Hashable {
    let model: Digest
    let mixture: Digest
  }

  private struct Entry {
    let path: String
    let bytes: Int
    var resolved: MonotonicInstant
  }

  private let directory: String
  private let budget: Int
  private let group: UInt32?
  private var entries: [Key: Entry] = [:]
  /// When each was resolved last, by the model and the normal form.
  private var expressions: [UInt32: [String: MonotonicInstant]] = [:]

  var byteCount: Int { entries.values.reduce(0) { $0 + $1.bytes } }

  init(directory: String, budget: Int, group: UInt32?) {
    (self.directory, self.budget, self.group) = (directory, budget, group)
  }

  /// Makes the directory, and removes what the last run left.
  static func prepare(_ directory: String, group: UInt32?) throws(SystemCallError) {
    try FileSystem.removeTree(directory)
    try FileSystem.createDirectories(directory, mode: 0o750)
    if let group { try FileSystem.setGroup(directory, group) }
  }

  // MARK: - Mixtures of one's own

  /// Counts a mixture that a user has made up; an error where that is one too many.
  func admit(_ name: String, of user: UInt32, now: MonotonicInstant) throws(RPCError) {
    for (user, known) in expressions {
      let rest = known.filter { now - $0.value < Self.expressionsLast }
      expressions[user] = rest.isEmpty ? nil : rest
    }
    if expressions[user]?[name] == nil {
      let own = expressions[user]?.count ?? 0
      let all = expressions.values.reduce(0) { $0 + $1.count }
      guard own < Self.maximumExpressionsOfUser, all < Self.maximumExpressions else {
        throw RPCError(
          .limit,
          own < Self.maximumExpressionsOfUser
            ? "all users together have had \(all) different mixtures of their own resolved within an hour, and at most "
              + "\(Self.maximumExpressions) are"
            : "uid \(user) has had \(own) different mixtures of its own resolved within an hour, and at most "
              + "\(Self.maximumExpressionsOfUser) are",
          hint: "what was resolved goes on being resolved; a task's mixture and an expert are not counted")
      }
    }
    expressions[user, default: [:]][name] = now
  }

  // MARK: - Directories

  /// The directory of a mixture, which is written where it is not there.
  func place(
    _ vector: MultiplierVector, digest: Digest, of model: ModelSignature, now: MonotonicInstant
  ) throws(RPCError) -> String {
    let key = Key(model: model.digest, mixture: digest)
    if let entry = entries[key], ((try? FileSystem.status(entry.path)) ?? nil) != nil {
      entries[key]?.resolved = now
      return entry.path
    }
    entries[key] = nil
    let parent = "\(directory)/\(model.digest.hex)"
    let path = "\(parent)/\(digest.hex)"
    let configuration = JSONValue.object(
      AdapterFiles.configuration(.slot, rank: 1, digest: digest, model: model)
    ).serialized(pretty: true)
    let weights = AdapterFiles.slot(vector, layout: model.layout)
    let bytes = configuration.count + weights.count
    try makeRoom(for: bytes, now: now)
    do throws(SystemCallError) {
      try write([(AdapterFiles.configuration, configuration), (AdapterFiles.weights, weights)], at: path, in: parent)
    } catch {
      throw RPCError(
        .notStored, "an adapter of \(bytes) bytes cannot be written: \(error)",
        hint: "make room below '\(directory)', or lower adapter_budget in t2d.json5; nothing is left of it")
    }
    entries[key] = Entry(path: path, bytes: bytes, resolved: now)
    return path
  }

  private func write(
    _ files: [(name: String, bytes: [UInt8])], at path: String, in parent: String
  ) throws(SystemCallError) {
    try makeDirectory(parent)
    let temporary = "\(parent)/.\(String(UInt64.random(in: 0 ... .max), radix: 36)).tmp"
    do throws(SystemCallError) {
      try makeDirectory(temporary)
      for (name, bytes) in files {
        try FileSystem.writeAtomically("\(temporary)/\(name)", bytes, mode: 0o640)
        if let group { try FileSystem.setGroup("\(temporary)/\(name)", group) }
      }
      // Of an entry that lost its files to somebody else.
      try FileSystem.removeTree(path)
      try FileSystem.rename(temporary, to: path)
      try FileSystem.synchronizeDirectory(parent)
    } catch {
      try? FileSystem.removeTree(temporary)
      throw error
    }
  }

  private func makeDirectory(_ path: String) throws(SystemCallError) {
    try FileSystem.createDirectories(path, mode: 0o750)
    if let group { try FileSystem.setGroup(path, group) }
  }

  /// Removes what was resolved longest ago until there is room, but for what an engine may be loading now.
  private func makeRoom(for bytes: Int, now: MonotonicInstant) throws(RPCError) {
    guard bytes <= budget else {
      throw RPCError(
        .limit, "the adapter has \(bytes) bytes, and adapter_budget allows \(budget) for all",
        hint: "raise adapter_budget in t2d.json5")
    }
    var all = byteCount
    for (key, entry) in entries.sorted(by: { $0.value.resolved < $1.value.resolved }) where all + bytes > budget {
      guard now - entry.resolved >= Self.grace else { break }
      do throws(SystemCallError) { try FileSystem.removeTree(entry.path) } catch {
        throw RPCError(.internal, "an adapter cannot be removed to make room for another: \(error)")
      }
      entries[key] = nil
      all -= entry.bytes
    }
    guard all + bytes <= budget else {
      throw RPCError(
        .overloaded,
        "the adapter has \(bytes) bytes, and adapter_budget has \(budget - all) left: all others were resolved within "
          + "\(Self.grace.components.seconds) s", hint: "try again, or raise adapter_budget in t2d.json5")
    }
  }
}
