package import SystemSupport

/// A directory into which users drop things.
package struct DropDirectory: Sendable {
  /// How events name it: "experts", "tasks".
  package var label: String
  package var path: String
  package var rules: NameRules

  package init(label: String, path: String, rules: NameRules) {
    self.label = label
    self.path = path
    self.rules = rules
  }
}

/// A file, or a directory that counts as one item, as it was when it became due.
package struct DropItem: Sendable {
  package var label: String
  package var name: String
  package var isDirectory: Bool
  /// The directory that holds it: names are opened relative to this, never by path.
  package var directory: FileDescriptor
  package var identity: DropIdentity
  /// Where the outcome goes.
  let mailbox: Mailbox<DirectoryWatcher.Command>

  /// How the attempt ended. Once for each due item, from any thread, and after its effect can be seen by others: a
  /// `sync` returns then.
  package func finished(_ outcome: DropOutcome) {
    mailbox.put(.finished(DropKey(label: label, name: name), outcome))
  }
}

/// "Unchanged" for an item: of a file its own identity, of a directory those of the files in it, by name.
package struct DropIdentity: Hashable, Sendable {
  package var isDirectory: Bool
  package var files: [Entry]

  package struct Entry: Hashable, Sendable {
    package var name: [UInt8]
    package var identity: FileIdentity
  }
}

/// What the watcher tells. Events of one name come in order; all come from the watcher's thread, which they must not
/// hold up.
package enum DropEvent: Sendable {
  /// Take it now, then call its `finished`.
  case due(DropItem)
  /// An item that was due before is gone, or moved away.
  case vanished(label: String, name: String)
  /// `name` is escaped.
  case ignored(label: String, name: String, rule: String)
  case rejected(label: String, name: String, reason: String)
  /// Still incomplete after the time-out; it is tried again when something happens to it.
  case incomplete(label: String, name: String)
  /// What stands under an accepted name cannot be found out; it is tried again by itself.
  case failed(label: String, name: String, SystemCallError)
  /// A scan found these names, escaped where they are not plain: of what is not among them nothing is there any more.
  case listed(label: String, names: Set<[UInt8]>)
  /// More names are there than are looked at, which is told once, or no more (nil).
  case crowded(label: String, limit: Int?)
  case condition(label: String, DirectoryCondition)
  /// The path led to another directory than the one that was watched, or to none.
  case replaced(label: String)
}

/// How well a directory is watched.
package enum DirectoryCondition: Sendable, Equatable, CustomStringConvertible {
  case watching
  /// By scans alone, because of the reason.
  case polling(reason: String)
  /// Not there. What was in it counts as unknown, not as removed: it may be an unmounted disk.
  case missing
  case unreadable(SystemCallError)

  package var description: String {
    switch self {
    case .watching: "watching"
    case .polling(let reason): "polling: \(reason)"
    case .missing: "missing: create it, or correct its path in the configuration"
    case .unreadable(let error): "unreadable: \(error)"
    }
  }
}
