import Glibc
import SystemSupport

extension WatchLoop {
  func scanWhereDue() {
    let now = MonotonicInstant.now
    if let instant = scanAt, instant <= now {
      scanAt = nil
      // What was waited for by cookie is seen by a scan that began after the cookie was written.
      for position in syncs.indices { syncs[position].cookie = nil }
      for index in directories.indices { scanAgain(index) }
    }
    for index in directories.indices {
      if let instant = directories[index].nextScan, instant <= now { scanAgain(index) }
    }
  }

  func scanAgain(_ index: Int) {
    guard let descriptor = directories[index].descriptor else { return open(index) }
    guard !reopenIfReplaced(index) else { return }
    // What could not be watched then may be now.
    if directories[index].watch == nil { watchItself(index, descriptor) }
    scan(index)
  }

  /// Compares what is in the directory with what was announced. The truth that events only hint at.
  func scan(_ index: Int) {
    guard let descriptor = directories[index].descriptor else { return }
    counters.scans += 1
    directories[index].nextScan = .now + scanPeriod(index)
    let entries: [DirectoryEntry]
    do {
      entries = try FileSystem.entries(
        in: descriptor, path: directories[index].configuration.path, limit: settings.maximumNames + 1)
    } catch {
      setCondition(index, .unreadable(error))
      directories[index].nextScan = .now + settings.pollPeriod
      return
    }
    setCondition(index, directories[index].usual)
    let isFull = entries.count > settings.maximumNames
    if isFull, !directories[index].isFull {
      log.warning(
        "too many names in a directory, some are left alone",
        ["directory": directories[index].configuration.path, "limit": settings.maximumNames])
    }
    if isFull != directories[index].isFull {
      onEvent(.crowded(label: directories[index].label, limit: isFull ? settings.maximumNames : nil))
    }
    directories[index].isFull = isFull
    var present: Set<[UInt8]> = []
    for entry in entries.prefix(settings.maximumNames) {
      present.insert(entry.name)
      look(index, entry.name, .scanned)
    }
    // In a full directory the names beyond the limit were not listed.
    guard !isFull else { return }
    let tracked = directories[index].announced.keys.map { Array($0.utf8) } + Array(directories[index].refused.keys)
    for name in tracked where !present.contains(name) { look(index, name, .scanned) }
    let names = Set(present.map { Array(escaped(bytes: $0, limit: 255).utf8) })
    onEvent(.listed(label: directories[index].label, names: names))
  }

  private func scanPeriod(_ index: Int) -> Duration {
    if directories[index].watch == nil { return settings.pollPeriod }
    return directories[index].isOverlay ? settings.overlayRescan : settings.safetyRescan
  }

  func lookAtMarked() {
    let marked = self.marked
    self.marked = [:]
    for (index, names) in marked {
      for (name, hint) in names { look(index, name, hint) }
    }
  }

  /// Looks at one name and remembers what follows from it.
  private func look(_ index: Int, _ name: [UInt8], _ hint: DropHint) {
    guard let descriptor = directories[index].descriptor else { return }
    switch directories[index].look(name, in: descriptor) {
    case .nothing:
      forget(index, name)
      // The end of a download is an event of its file.
      if let file = NameRules.downloaded(by: name) { look(index, file, .closed) }
    case .refused(let verdict): refuse(index, name, verdict)
    case .item(let identity): consider(index, name, identity, hint)
    case .unknown: waitFor(index, name, hint)
    }
  }

  /// What cannot be looked at now may be all that its name allows: the attempt finds out, again and again, and says why it
  /// could not. A name that nothing may have is refused whatever it names.
  private func waitFor(_ index: Int, _ name: [UInt8], _ hint: DropHint) {
    guard let text = directories[index].acceptedText(name) else {
      return refuse(index, name, directories[index].configuration.rules.verdict(name, isDirectory: false))
    }
    if directories[index].announced[text] == nil {
      guard directories[index].announced.count < settings.maximumNames else { return }
      // As nothing that is found later.
      directories[index].announced[text] = DropIdentity(isDirectory: false, files: [])
    }
    settling.saw(DropKey(label: directories[index].label, name: text), hint, at: .now)
  }

  private func consider(_ index: Int, _ name: [UInt8], _ identity: DropIdentity, _ hint: DropHint) {
    let text = String(decoding: name, as: UTF8.self)
    let key = DropKey(label: directories[index].label, name: text)
    directories[index].refused[name] = nil
    if directories[index].announced[text] == nil, directories[index].announced.count >= settings.maximumNames { return }
    if identity.isDirectory { watchInside(index, name) }
    let isUnchanged = directories[index].announced[text] == identity
    switch hint {
    case .scanned, .attributes:
      // A file whose retries are used up is tried again by the next scan.
      if isUnchanged, !settling.isOverdue(key) { return }
    case .movedIn, .closed, .created, .modified:
      break
    }
    guard hint == .scanned, directories[index].watch == nil else {
      settling.saw(key, hint, at: .now)
      return
    }
    // Polling sees a file grow only from scan to scan: the quiet time begins when it looks as it did before.
    let isQuiet = directories[index].polled.updateValue(identity, forKey: text) == identity
    settling.saw(key, isQuiet ? .scanned : .created, at: .now)
  }

  /// Watches a directory that counts as one item, and what came before the watch is seen by who takes it.
  private func watchInside(_ index: Int, _ name: [UInt8]) {
    guard let queue, directories[index].watch != nil, let descriptor = directories[index].descriptor else { return }
    let text = String(decoding: name, as: UTF8.self)
    guard let inner = try? FileDescriptor.open(text, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, in: descriptor) else {
      return
    }
    do {
      let watch = try queue.watch(inner, .items, path: "\(directories[index].configuration.path)/\(text)")
      let isNew = roles[watch]?.contains(.inside(index, name)) != true
      add(.inside(index, name), watch)
      // Files that came between the look and the watch made no event: look once more.
      if isNew { marked[index, default: [:]][name] = .scanned }
    } catch {
      log.warning("changes inside a directory are seen by scans only", ["error": error])
    }
  }

  private func refuse(_ index: Int, _ name: [UInt8], _ verdict: NameRules.Verdict) {
    forget(index, name, keepingRefusal: true)
    let known = directories[index].refused[name]
    guard known?.verdict != verdict.hashValue, known != nil || directories[index].refused.count < settings.maximumNames
    else { return }
    let shown = escaped(bytes: name, limit: 255)
    directories[index].refused[name] = .init(shown: shown, verdict: verdict.hashValue)
    switch verdict {
    case .accepted: break
    case .ignored(let rule): onEvent(.ignored(label: directories[index].label, name: shown, rule: rule))
    case .rejected(let reason): onEvent(.rejected(label: directories[index].label, name: shown, reason: reason))
    }
  }

  private func forget(_ index: Int, _ name: [UInt8], keepingRefusal: Bool = false) {
    let label = directories[index].label
    if !keepingRefusal, let refused = directories[index].refused.removeValue(forKey: name) {
      onEvent(.vanished(label: label, name: refused.shown))
    }
    guard let text = String(validating: name, as: UTF8.self) else { return }
    let key = DropKey(label: label, name: text)
    settling.vanished(key)
    directories[index].polled[text] = nil
    // A file that was announced has no watch of its own.
    if directories[index].configuration.rules.acceptsDirectories,
      directories[index].announced[text]?.isDirectory ?? true
    {
      for (watch, roles) in roles where roles.contains(.inside(index, name)) { remove(.inside(index, name), watch) }
    }
    for position in syncs.indices { syncs[position].waiting?[key] = nil }
    if directories[index].announced.removeValue(forKey: text) != nil {
      onEvent(.vanished(label: label, name: text))
      // Of directories that hold tasks alone: `NAME.jsonl` and `NAME/` are one.
      if directories[index].configuration.rules.acceptsDirectories {
        directories[index].goneStems.insert(directories[index].configuration.rules.stem(of: text))
      }
    }
  }

  /// Tries the other forms of items that went in this turn: they were refused as long as those were there.
  func lookAtOtherForms() {
    for index in directories.indices where !directories[index].goneStems.isEmpty {
      let (rules, stems) = (directories[index].configuration.rules, directories[index].goneStems)
      directories[index].goneStems = []
      for name in directories[index].announced.keys where stems.contains(rules.stem(of: name)) {
        look(index, Array(name.utf8), .closed)
      }
    }
  }

  func announceDue() {
    for key in settling.takeDue(at: .now) {
      guard let index = index(of: key.label), let descriptor = directories[index].descriptor else {
        // A directory that is missing says nothing of its files.
        finished(key, .retryLater)
        continue
      }
      let name = Array(key.name.utf8)
      switch directories[index].look(name, in: descriptor) {
      case .item(let identity):
        directories[index].announced[key.name] = identity
        let item = DropItem(
          label: key.label, name: key.name, isDirectory: identity.isDirectory, directory: descriptor,
          identity: identity, mailbox: mailbox)
        onEvent(.due(item))
      case .unknown(let error):
        onEvent(.failed(label: key.label, name: key.name, error))
        finished(key, .retryLater)
      case .nothing, .refused:
        // Gone, or something else by now. Nobody will report this attempt, so it is taken back.
        settling.vanished(key)
        look(index, name, .created)
      }
    }
  }

  /// Of a file the next attempt tells; of a refused name a scan, which is paced.
  func tellAgain(_ key: DropKey) {
    guard let index = index(of: key.label) else { return }
    if directories[index].announced[key.name] != nil {
      settling.saw(key, .scanned, at: .now)
    } else if let name = directories[index].refused.first(where: { $0.value.shown == key.name })?.key {
      directories[index].refused[name] = nil
      requestScan()
    }
  }
}
