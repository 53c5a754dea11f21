import CLinux
import Glibc
import SystemSupport
import Testing

struct ServiceManagerTests {
  @Test func readinessIsOneDatagramOfAssignments() throws {
    try withTemporaryDirectory { path throws in
      let socket = FileDescriptor(
        takingOwnershipOf: Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | O_CLOEXEC, 0))
      #expect(unsafe t2_unix_bind(socket.number, "\(path)/n") == 0)
      let manager = ServiceManager(address: "\(path)/n", watchdogMicroseconds: "30000000")
      #expect(manager.watchdogPeriod == .seconds(15))
      manager.ready(status: "2 experts\nREADY=0")
      manager.stopping()
      func next() throws -> String { String(decoding: try socket.read(upTo: 1024), as: UTF8.self) }
      #expect(try next() == "READY=1\nSTATUS=2 experts\\nREADY=0")
      #expect(try next() == "STOPPING=1")
    }
  }

  /// In a process of its own, since the working directory is the whole process's.
  @Test func outsideOfSystemdNothingHappens() async {
    await #expect(processExitsWith: .success) {
      try withTemporaryDirectory { path throws in
        try systemCall("chdir") { unsafe chdir(path) }
        let socket = FileDescriptor(
          takingOwnershipOf: Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | O_CLOEXEC | O_NONBLOCK, 0))
        guard unsafe t2_unix_bind(socket.number, "relative") == 0 else { _exit(3) }
        func hasCome() -> Bool { ((try? socket.read(upTo: 64)) ?? []).isEmpty == false }
        // Nobody is told where no address is given, or one that is no address: not even by a socket of that name.
        for address in [nil, "", "relative", "/nonexistent/socket"] {
          let manager = ServiceManager(address: address, watchdogMicroseconds: nil)
          guard manager.watchdogPeriod == nil else { _exit(4) }
          manager.ready(status: "x")
          manager.watchdog()
          manager.stopping()
          if hasCome() { _exit(5) }
        }
        // The same socket by its whole path hears.
        ServiceManager(address: "\(path)/relative").ready(status: "x")
        guard hasCome() else { _exit(6) }
      }
    }
  }

  /// What the service manager said to us must not be said to our children.
  @Test func theEnvironmentIsTakenOutOfTheEnvironment() async {
    await #expect(processExitsWith: .success) {
      let given = ["NOTIFY_SOCKET": "@none", "WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "\(getpid())"]
      for (name, value) in given { unsafe setenv(name, value, 1) }
      guard ServiceManager().watchdogPeriod == .seconds(2) else { _exit(3) }
      for name in given.keys where environmentVariable(name) != nil { _exit(4) }
    }
  }

  @Test func aWatchdogMeantForAnotherProcessIsNotFed() {
    let manager = ServiceManager(address: nil, watchdogMicroseconds: "1000", watchdogProcess: "1")
    #expect(manager.watchdogPeriod == nil)
    #expect(ServiceManager(address: nil, watchdogMicroseconds: "soon").watchdogPeriod == nil)
  }
}

struct SignalDescriptorTests {
  @Test func signalsBecomeEvents() async {
    await #expect(processExitsWith: .success) {
      let signals = try SignalDescriptor([SIGTERM, SIGHUP])
      guard try signals.next() == nil else { _exit(3) }
      // To this thread, since those of the test runner do not block it.
      pthread_kill(pthread_self(), SIGHUP)
      let epoll = try Epoll()
      try epoll.add(signals.descriptor, .read, token: 1)
      let ready = try epoll.wait(until: .after(.seconds(30))) { _, _ in }
      guard ready == 1 else { _exit(4) }
      guard try signals.next() == SIGHUP, try signals.next() == nil else { _exit(5) }
    }
  }
}
