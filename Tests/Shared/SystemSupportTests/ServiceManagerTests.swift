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
      #expect(try next() == "READY=1\nSTATUS=2 experts\\x0aREADY=0")
      #expect(try next() == "STOPPING=1")
    }
  }

  @Test func outsideOfSystemdNothingHappens() {
    ServiceManager(address: nil).ready(status: "x")
    ServiceManager(address: "relative").ready(status: "x")
    ServiceManager(address: "/nonexistent/socket").ready(status: "x")
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
