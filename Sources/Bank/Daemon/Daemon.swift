import Evaluation
import Records
import Registry
import RPCServer
package import SystemSupport
import Watcher

/// The running daemon: one object that starts its threads in the right order and ends them in the reverse one.
///
/// What was served by the last run is served as soon as the socket listens, before the directories are scanned and
/// before a worker is there.
package final class Daemon: Sendable {
  package let paths: DaemonPaths
  package let configuration: Configuration
  package let board: StatusBoard
  /// Given back when everything else has ended.
  private let lock: Mutex<FileLock?>
  private let catalogue: CatalogueThread
  private let scrubber: Scrubber
  private let server: RPCServer
  private let watcher: DirectoryWatcher
  private let link: WorkerLink
  private let log: Logger
  private let templates: DispatchTemplateFile

  /// Starts everything. `launcher` starts workers; `shutDown` is called when a client asks the daemon to end.
  package init(
    paths: DaemonPaths, configuration: Configuration, launcher: any WorkerLauncher, log: Logger,
    shutDown: @escaping @Sendable () -> Void
  ) throws(DaemonError) {
    self.paths = paths
    self.configuration = configuration
    self.log = log
    let board = StatusBoard()
    self.board = board
    for signal in ignoredSignals { ignoreSignal(signal) }
    templates = DispatchTemplateFile(configuration, paths)
    do throws(DispatchTemplateError) { _ = try templates.get() } catch {
      throw .configuration(.template(error))
    }
    let adapterGroup = try Self.group(configuration.adapterGroup, member: "adapter_group")
    try paths.prepare()
    lock = Mutex(try Self.lock(paths))
    do throws(SystemCallError) { try AdapterStore.prepare(paths.adapters, group: adapterGroup) } catch {
      throw .files(error)
    }

    do throws(SystemCallError) { catalogue = try CatalogueThread() } catch { throw .files(error) }
    let snapshots = CurrentSnapshot(Snapshot.empty)
    let post: @Sendable (@escaping CatalogueThread.Work) -> Void = { [catalogue] in catalogue.post($0) }
    try catalogue.start { () throws(DaemonError) in
      do throws(RegistryError) {
        return try Coordinator(
          paths: paths, configuration: configuration, adapterGroup: adapterGroup, snapshots: snapshots, board: board,
          log: log, post: post)
      } catch {
        throw .store(error)
      }
    }
    let catalogue = catalogue
    do throws(SystemCallError) {
      scrubber = try Scrubber(paths.store, configuration.scrub, board: board, catalogue: catalogue)
      try scrubber.start()
    } catch {
      catalogue.stop()
      throw .files(error)
    }
    do throws(DaemonError) {
      let service = Service(
        paths: paths, configuration: configuration, snapshots: snapshots, board: board, catalogue: catalogue,
        scrubber: scrubber, templates: templates, log: log, shutDown: shutDown)
      server = try Self.listen(service, paths, configuration, log)
      service.counters = server.counters
    } catch {
      scrubber.stop()
      catalogue.stop()
      throw error
    }

    do throws(SystemCallError) {
      link = try WorkerLink(launcher: launcher, hangAfter: configuration.worker.hangAfter, log: log) { message in
        catalogue.post { $0.received(message) }
      }
      watcher = try DirectoryWatcher(
        [
          DropDirectory(label: "experts", path: paths.experts, rules: .experts),
          DropDirectory(label: "tasks", path: paths.tasks, rules: .tasks),
        ], cookieDirectory: paths.cookies, log: log
      ) { event in
        catalogue.post(event)
      }
      let (link, watcher) = (link, watcher)
      catalogue.post { coordinator in
        coordinator.attach(link, watcher)
      }
      try link.start()
    } catch {
      server.stop(within: .zero)
      scrubber.stop()
      catalogue.stop()
      throw .files(error)
    }
    do throws(SystemCallError) {
      try FileSystem.removeTemporaries(in: paths.run)
      try FileSystem.writeAtomically(paths.pidFile, Array("\(ownProcessID())\n".utf8), mode: 0o644)
    } catch {
      // A full disk is no reason not to serve what there is.
      log.warning("there will be no file with the process id", ["error": error])
    }
    log.notice(
      "t2d serves", ["version": programVersion, "pid": ownProcessID(), "socket": paths.socket, "prefix": paths.prefix])
  }

  /// Looks at the watched directories and at the dispatch template again.
  package func rescan() {
    watcher.rescan()
    let problem = templates.reload()
    if let problem { log.warning("\(problem)") }
    let code = "dispatch_template"
    if let problem {
      board.raise(
        DaemonWarning(code: code, message: problem.description, help: "correct the file and send SIGHUP again"))
    } else {
      board.end(code)
    }
  }

  /// Refuses requests but for those that the worker is answering already, which have a second for it; marks the running
  /// job, and ends all threads and the worker. No backlog is worked off: it takes 2 s at most.
  package func stop() {
    log.notice("t2d ends")
    catalogue.refuseRequests()
    watcher.stop()
    server.stop(within: .seconds(1))
    scrubber.stop()
    catalogue.stop()
    link.stop()
    if lock.withLock({ $0?.isInPlace ?? false }) {
      // The worker may have been ended while it wrote.
      do throws(SystemCallError) { try paths.store.removeUnfinished() } catch {
        log.warning("what was being made is left until the next start", ["error": error])
      }
    }
    _ = try? FileSystem.remove(paths.pidFile)
    lock.withLock { $0 = nil }
  }

  /// One daemon a prefix, decided by a lock that the kernel drops with the process; one that is ending has 5 s for it.
  static func lock(_ paths: DaemonPaths) throws(DaemonError) -> FileLock {
    do throws(SystemCallError) {
      if let lock = try FileLock.acquire(paths.lock, until: .after(.seconds(5))) { return lock }
    } catch {
      throw .files(error)
    }
    let pid = (try? FileSystem.readAll(paths.pidFile, maximumBytes: 32)).map {
      String(decoding: $0.prefix { $0 != 0x0a }, as: UTF8.self)
    }
    throw .alreadyRunning(pid: pid, prefix: paths.prefix.isEmpty ? "/" : paths.prefix)
  }

  /// The number of the group that a member of the configuration names, where it does.
  private static func group(_ name: String?, member: String) throws(DaemonError) -> UInt32? {
    guard let name else { return nil }
    if let group = groupNumber(name) { return group }
    throw .configuration(
      .content(
        path: "t2d.json5",
        RecordError(.invalid, at: member, "is \(quoted(name)), and this system has no such group")))
  }

  private static func listen(
    _ service: Service, _ paths: DaemonPaths, _ configuration: Configuration, _ log: Logger
  ) throws(DaemonError) -> RPCServer {
    var authority = RPCAuthority()
    authority.adminGroup = try group(configuration.adminGroup, member: "admin_group")
    do throws(RPCServerError) {
      let server = try RPCServer(
        path: paths.socket, mode: configuration.socketMode.bits, authority: authority, logger: log, handler: service)
      try server.start()
      return server
    } catch {
      throw .socket(error)
    }
  }
}
