import Glibc
import SystemSupport

/// A broken pipe, a file that outgrew its limit, a broken lease: each is an error of its call, and no reason to die.
let ignoredSignals = [SIGPIPE, SIGXFSZ, SIGIO]

/// `t2d`: arguments, configuration, signals, and the order of beginning and end.
package enum DaemonProgram {
  private static let usage = """
    usage: t2d [--prefix DIR] [--socket PATH] [--config FILE]
           t2d fsck [--prefix DIR] [--quick] [--rebuild]
           t2d restore FILE [--prefix DIR]
           t2d --help | --version

      --prefix DIR   where etc/, var/spool/t2d, var/lib/t2d and var/run/t2d are (default /)
      --socket PATH  the API's socket (default the configuration's, DIR/var/run/t2d/t2d.sock)
      --config FILE  the configuration (default DIR/etc/t2d/t2d.json5 where it exists)

    fsck looks at the store while no t2d runs on it: every file against the catalogue, by contents.

      --quick        only by names and sizes
      --rebuild      where the catalogue is missing or damaged, make it again from its redo log, or from the stored files
                     where that is lost too; what was there is moved aside

    restore makes the store again from a backup, FILE, that 't2ctl backup' has written; only where there is none.

    It stays in the foreground and logs to standard error. SIGTERM and SIGINT end it, SIGHUP makes it look at the
    watched directories again. See t2d(8).

    """

  struct Options: Equatable {
    var prefix = "/"
    var socket: String?
    var config: String?
    /// What to print instead of starting.
    var text: String?
    var isFsck = false
    var isRestore = false
    /// What is restored.
    var backup: String?
    var isQuick = false
    var rebuilds = false

    init(_ arguments: [String]) throws(DaemonError) {
      var rest = arguments[...]
      while let argument = rest.popFirst() {
        var name = argument
        var given: String?
        if argument.hasPrefix("--"), let equals = argument.firstIndex(of: "=") {
          name = String(argument[..<equals])
          given = String(argument[argument.index(after: equals)...])
        }
        func value() throws(DaemonError) -> String {
          guard let value = given ?? rest.popFirst(), !value.isEmpty else {
            throw .usage("the option '\(name)' needs a value; see: t2d --help")
          }
          return value
        }
        switch name {
        case "--prefix": prefix = try value()
        case "--socket": socket = try value()
        case "--config": config = try value()
        case "fsck" where !isFsck && !isRestore: isFsck = true
        case "restore" where !isFsck && !isRestore: isRestore = true
        case _ where isRestore && backup == nil && !argument.hasPrefix("-"): backup = argument
        case "--quick" where isFsck: isQuick = true
        case "--rebuild" where isFsck: rebuilds = true
        case "--help", "-h": text = usage
        case "--version": text = "t2d \(programVersion)\n"
        default: throw .usage("unknown argument '\(escaped(argument, limit: 64))'; see: t2d --help")
        }
      }
    }
  }

  /// Runs the daemon to its end and returns the exit status: sysexits(3), as t2d(8) lists them.
  package static func run(_ arguments: [String]) -> Int32 {
    do throws(DaemonError) {
      let options = try Options(Array(arguments.dropFirst()))
      if let text = options.text {
        say(text, to: STDOUT_FILENO)
        return 0
      }
      if options.isRestore { return try restore(options) }
      return try options.isFsck ? fsck(options) : serve(options)
    } catch {
      say("t2d: \(error)\n", to: STDERR_FILENO)
      return error.exitCode
    }
  }

  private static func fsck(_ options: Options) throws(DaemonError) -> Int32 {
    umask(0o077)
    guard options.socket == nil, options.config == nil else {
      throw .usage("fsck takes --prefix, --quick and --rebuild; see: t2d --help")
    }
    return try FsckProgram(
      paths: try paths(options), rebuilds: options.rebuilds, isQuick: options.isQuick,
      say: { say($0, to: STDOUT_FILENO) }
    ).run()
  }

  private static func restore(_ options: Options) throws(DaemonError) -> Int32 {
    umask(0o077)
    guard let backup = options.backup, options.socket == nil, options.config == nil else {
      throw .usage("restore takes the FILE that 't2ctl backup' has written, and --prefix; see: t2d --help")
    }
    return try RestoreProgram(paths: try paths(options), file: backup, say: { say($0, to: STDOUT_FILENO) }).run()
  }

  /// Of what works on the store alone.
  private static func paths(_ options: Options) throws(DaemonError) -> DaemonPaths {
    do throws(SystemCallError) {
      return DaemonPaths(prefix: try canonicalPath(options.prefix), socket: Configuration().socket)
    } catch {
      throw .files(error)
    }
  }

  private static func serve(_ options: Options) throws(DaemonError) -> Int32 {
    umask(0o077)
    ProcessMemory.returnLargeAllocations()
    let manager = ServiceManager()
    let signals: SignalDescriptor
    let ending: EventDescriptor
    let prefix: String
    do throws(SystemCallError) {
      // Before the first thread, so that all of them inherit the mask.
      signals = try SignalDescriptor([SIGTERM, SIGINT, SIGHUP])
      ending = try EventDescriptor()
      prefix = try canonicalPath(options.prefix)
    } catch {
      throw .files(error)
    }
    let configuration = try configuration(options, prefix: prefix)
    let paths = DaemonPaths(prefix: prefix, socket: try socket(options) ?? configuration.socket)
    let log = Logger(threshold: configuration.logLevel)
    let launcher: ProgramLauncher
    do throws(SystemCallError) {
      launcher = try ProgramLauncher(configuration, prefix: paths.prefix)
    } catch {
      throw .files(error)
    }
    let daemon = try Daemon(paths: paths, configuration: configuration, launcher: launcher, log: log) {
      ending.signal()
    }
    manager.ready(status: "serving \(paths.socket)")
    do throws(SystemCallError) {
      try wait(daemon, signals, ending, manager)
    } catch {
      log.error("the main thread cannot wait for signals", ["error": error])
    }
    manager.stopping()
    daemon.stop()
    return 0
  }

  /// Waits for a signal or a client that ends the daemon.
  private static func wait(
    _ daemon: Daemon, _ signals: SignalDescriptor, _ ending: EventDescriptor, _ manager: ServiceManager
  ) throws(SystemCallError) {
    let epoll = try Epoll()
    try epoll.add(signals.descriptor, .read, token: 1)
    try epoll.add(ending.descriptor, .read, token: 2)
    while true {
      var ends = false
      try epoll.wait(until: manager.watchdogPeriod.map { .after($0) } ?? .never) { token, _ in
        if token == 2 { ends = true }
      }
      while let signal = try signals.next() {
        if signal == SIGHUP {
          manager.reloading()
          daemon.rescan()
          manager.ready(status: "serving \(daemon.paths.socket)")
        } else {
          ends = true
        }
      }
      if ends { return }
      if manager.watchdogPeriod != nil { manager.watchdog() }
    }
  }

  private static func configuration(_ options: Options, prefix: String) throws(DaemonError) -> Configuration {
    let path = options.config ?? (prefix == "/" ? "" : prefix) + "/etc/t2d/t2d.json5"
    let bytes: [UInt8]
    do throws(SystemCallError) {
      if options.config == nil, try FileSystem.status(path) == nil { return Configuration() }
      bytes = try FileSystem.readAll(path, maximumBytes: 1 << 20)
    } catch {
      throw .configuration(.unreadable(error))
    }
    do throws(ConfigurationError) { return try Configuration(json5: bytes, path: path) } catch {
      throw .configuration(error)
    }
  }

  /// A path on the command line is relative to where the command was given, and not to the prefix.
  private static func socket(_ options: Options) throws(DaemonError) -> String? {
    guard let socket = options.socket, !socket.hasPrefix("/") else { return options.socket }
    do throws(SystemCallError) { return try canonicalPath(".") + "/" + socket } catch { throw .files(error) }
  }

  private static func say(_ text: String, to descriptor: Int32) {
    let bytes = Array(text.utf8)
    _ = unsafe write(descriptor, bytes, bytes.count)
  }
}
