import Glibc
import SystemSupport
import Testing

struct ChildProcessTests {
  @Test func theSocketIsDescriptorThreeAndNothingElseIsOpen() throws {
    let (own, theirs) = try FileDescriptor.socketPair()
    // A descriptor without close-on-exec must not reach the child either.
    let leak = FileDescriptor(takingOwnershipOf: dup(0))
    let child = try ChildProcess(
      "/bin/sh", arguments: ["sh", "-c", "read line <&3; echo got $line >&3; exec ls /proc/self/fd >&3"],
      environment: ["PATH=/bin"], socket: theirs)
    try theirs.close()
    try own.write(all: Array("hello\n".utf8))
    let text = try readToEnd(own)
    #expect(child.waitForExit(until: .after(.seconds(30))) == .code(0))
    // 4 is the directory that ls itself reads; a leaked descriptor would push it further.
    #expect(text == "got hello\n0\n1\n2\n3\n4\n")
    withExtendedLifetime(leak) {}
  }

  @Test func theEnvironmentIsTheOneThatWasGiven() throws {
    let (own, theirs) = try FileDescriptor.socketPair()
    let child = try ChildProcess(
      "/usr/bin/env", arguments: ["env", "sh", "-c", "env >&3"], environment: ["A=1", "PATH=/usr/bin:/bin"],
      socket: theirs)
    try theirs.close()
    let lines = try readToEnd(own).split(separator: "\n").filter { !$0.hasPrefix("_=") && !$0.hasPrefix("PWD=") }
    #expect(child.waitForExit() == .code(0))
    #expect(lines.sorted() == ["A=1", "PATH=/usr/bin:/bin"])
    #expect(ChildProcess.environment().contains { $0.hasPrefix("PATH=") })
    #expect(!ChildProcess.environment(without: ["PATH"]).contains { $0.hasPrefix("PATH=") })
  }

  @Test func theEndOfAKilledChildIsSeenOnItsDescriptor() throws {
    let (own, theirs) = try FileDescriptor.socketPair()
    let child = try ChildProcess("/bin/cat", arguments: ["cat"], environment: [], socket: theirs)
    try theirs.close()
    // cat ends at once, its stdin being /dev/null; a second child waits for the signal.
    #expect(child.waitForExit(until: .after(.seconds(30))) == .code(0))
    let (own2, theirs2) = try FileDescriptor.socketPair()
    let waiting = try ChildProcess(
      "/bin/sh", arguments: ["sh", "-c", "read line <&3"], environment: [], socket: theirs2)
    try theirs2.close()
    #expect(waiting.pollExit() == nil)
    let epoll = try Epoll()
    try epoll.add(waiting.exitDescriptor, .read, token: 1)
    waiting.signal(SIGKILL)
    #expect(try epoll.wait(until: .after(.seconds(30))) { _, _ in } == 1)
    #expect(waiting.pollExit() == .signal(SIGKILL))
    waiting.signal(SIGKILL)
    withExtendedLifetime((own, own2)) {}
  }

  @Test func aProgramThatIsNotThereIsAnErrorThatNamesIt() {
    let error = #expect(throws: SystemCallError.self) {
      try ChildProcess("/nonexistent/t2-worker", arguments: ["t2-worker"], environment: [], socket: nil)
    }
    #expect(
      error?.description
        == "cannot start the program '/nonexistent/t2-worker': No such file or directory (ENOENT)")
  }

  @Test func signalsAreUnblockedInTheChild() throws {
    var saved = sigset_t()
    var all = sigset_t()
    unsafe sigfillset(&all)
    unsafe pthread_sigmask(SIG_BLOCK, &all, &saved)
    defer { unsafe pthread_sigmask(SIG_SETMASK, &saved, nil) }
    let (own, theirs) = try FileDescriptor.socketPair()
    let child = try ChildProcess(
      "/bin/sh", arguments: ["sh", "-c", "kill -TERM $$"], environment: [], socket: theirs)
    #expect(child.waitForExit(until: .after(.seconds(30))) == .signal(SIGTERM))
    withExtendedLifetime(own) {}
  }

  @Test func aDescriptorTravelsOverASocket() throws {
    let (left, right) = try FileDescriptor.socketPair()
    let peer = try left.peerCredentials()
    #expect(peer.process == getpid())
    #expect(peer.user == getuid())
    try withTemporaryDirectory { path in
      try FileSystem.writeAtomically("\(path)/f", Array("content".utf8))
      let file = try FileDescriptor.open("\(path)/f")
      #expect(try left.send([1, 2, 3], passing: file) == 3)
      let received = try right.receive(upTo: 16)
      #expect(received.bytes == [1, 2, 3])
      #expect(try received.descriptor?.bytes(at: 0, count: 100) == Array("content".utf8))
    }
  }

  private func readToEnd(_ descriptor: FileDescriptor) throws -> String {
    var all: [UInt8] = []
    while true {
      let bytes = try descriptor.read(upTo: 4096)
      if bytes.isEmpty { return String(decoding: all, as: UTF8.self) }
      all += bytes
    }
  }
}

struct ProcessMemoryTests {
  @Test func theKernelsTextIsRead() throws {
    let memory = try #require(
      ProcessMemory(
        statusText:
          "Name:\tt2d\nVmHWM:\t    2000 kB\nVmRSS:\t    1000 kB\nRssAnon:\t 600 kB\nRssFile:\t 400 kB\nVmData:\t 9 kB\n"
      ))
    #expect(memory.resident == 1_024_000)
    #expect(memory.peak == 2_048_000)
    #expect(memory.anonymous == 614_400)
    #expect(memory.mapped == 409_600)
    #expect(memory.data == 9216)
    #expect(ProcessMemory(statusText: "Name:\tkthreadd\n") == nil)
    #expect(ProcessMemory(statusText: "VmRSS:\t99999999999999999 kB\nVmHWM: 1 kB") == nil)
  }

  @Test func thisProcessUsesSomeMemory() throws {
    let memory = try #require(ProcessMemory.of())
    #expect(memory.resident > 1 << 20)
    #expect(memory.peak >= memory.resident / 2)
    #expect(ProcessMemory.of(getpid()) != nil)
    #expect(ProcessMemory.of(-1) == nil)
  }
}

struct ProcessLimitsTests {
  @Test func theLimitsApplyToTheProcessItself() async {
    await #expect(processExitsWith: .success) {
      var limits = ProcessLimits()
      limits.niceness = 5
      limits.dataBytes = 1 << 30
      limits.batchScheduling = true
      try limits.applyToSelf()
      var data = rlimit()
      guard unsafe getrlimit(__rlimit_resource_t(2), &data) == 0, data.rlim_cur == 1 << 30 else { _exit(3) }
      guard getpriority(__priority_which_t(0), 0) >= 5 else { _exit(4) }
      guard sched_getscheduler(0) == 3 else { _exit(5) }
      let tooMuch = unsafe malloc(2 << 30)
      guard unsafe tooMuch == nil else { _exit(6) }
    }
  }
}
