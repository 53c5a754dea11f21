import Glibc
import SystemSupport

extension WatchLoop {
  /// Opens a directory by its path, watches it and then scans it, in this order: what arrives during the scan is an
  /// event that waits.
  func open(_ index: Int) {
    let path = directories[index].configuration.path
    watchParents(index)
    do throws(SystemCallError) {
      let descriptor = try FileDescriptor.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
      let identity = try descriptor.status().identity
      directories[index].descriptor = descriptor
      directories[index].opened = (identity.device, identity.inode)
      watchItself(index, descriptor)
      scan(index)
    } catch {
      directories[index].descriptor = nil
      directories[index].opened = nil
      setCondition(index, error.number == ENOENT ? .missing : .unreadable(error))
      directories[index].nextScan = .now + settings.pollPeriod
    }
  }

  /// Compares what the path leads to by now with what is open, and opens the other one where it is another: any component
  /// of the path may have been moved, removed, made anew, linked elsewhere or mounted over, and of most of that the kernel
  /// tells nobody who watches the directory. True where it was opened, and so scanned.
  @discardableResult
  func reopenIfReplaced(_ index: Int) -> Bool {
    directories[index].mayHaveChanged = false
    let path = directories[index].configuration.path
    let now: FileStatus?
    do throws(SystemCallError) {
      now = try FileSystem.status(path)
    } catch {
      setCondition(index, .unreadable(error))
      return false
    }
    guard let opened = directories[index].opened else {
      if now != nil { open(index) }
      return now != nil
    }
    // An inode number is not given to another while its directory is open.
    if let now, now.identity.device == opened.device, now.identity.inode == opened.inode { return false }
    log.notice(
      now == nil ? "a watched directory is gone" : "a watched directory was replaced, and the new one is watched",
      ["directory": path])
    close(index)
    open(index)
    onEvent(.replaced(label: directories[index].label))
    return true
  }

  private func close(_ index: Int) {
    if let watch = directories[index].watch { remove(.directory(index), watch) }
    for (watch, roles) in roles {
      for case .inside(index, let name) in roles { remove(.inside(index, name), watch) }
    }
    directories[index].watch = nil
    directories[index].descriptor = nil
    directories[index].opened = nil
  }

  /// The parent's events tell that the name was given to another directory. Those above tell only when they are moved or
  /// removed themselves: all that happens in them would be too much to hear.
  private func watchParents(_ index: Int) {
    guard let queue else { return }
    var watches: Set<Int32> = []
    var path = directories[index].configuration.path
    var mask = InotifyQueue.Mask.parent
    while true {
      let parent = FileSystem.split(path).directory
      if parent == path { break }
      path = parent
      if let opened = try? FileDescriptor.open(path, O_RDONLY | O_DIRECTORY),
        let watch = try? queue.watch(opened, mask, path: path)
      {
        watches.insert(watch)
        add(.parent(index), watch)
      }
      mask = .ancestor
    }
    // The same directory has the same watch; another one means that it was replaced too.
    for watch in directories[index].parentWatches.subtracting(watches) { remove(.parent(index), watch) }
    directories[index].parentWatches = watches
  }

  func watchItself(_ index: Int, _ descriptor: FileDescriptor) {
    let type = fileSystemType(descriptor)
    directories[index].isOverlay = type == .overlay
    if case .remote(let name) = type, settings.mode == .auto {
      directories[index].usual = .polling(reason: "\(name) does not report the changes of other machines")
      return
    }
    guard let queue else {
      directories[index].usual = .polling(reason: queueProblem)
      return
    }
    do {
      let watch = try queue.watch(descriptor, .items, path: directories[index].configuration.path)
      add(.directory(index), watch)
      directories[index].watch = watch
      directories[index].usual = .watching
    } catch {
      directories[index].usual = .polling(reason: "\(error)")
    }
  }

  func setCondition(_ index: Int, _ condition: DirectoryCondition) {
    guard directories[index].condition != condition else { return }
    directories[index].condition = condition
    let fields: Logger.Fields = ["directory": directories[index].configuration.path, "condition": condition]
    if condition == .watching {
      log.info("directory", fields)
    } else {
      log.warning("directory", fields)
    }
    onEvent(.condition(label: directories[index].label, condition))
  }
}
