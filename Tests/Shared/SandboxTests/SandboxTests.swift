import Glibc
import Records
import SystemSupport
import TestSupport
import Testing

@testable import Sandbox

@Suite(.enabled(if: SandboxSupport.hasPython, "python3 is not installed")) struct SandboxTests {
  private func run(_ program: String, _ sandbox: Sandbox = SandboxSupport.sandbox()) throws -> SandboxRun {
    try sandbox.run(program)
  }

  @Test func theSandboxWorksHere() throws {
    let run = try run("print('hello')")
    #expect(run.outcome == .passed && run.output == "hello\n")
    #expect(Set(run.protections).isSuperset(of: [.user, .noNewPrivileges, .limits]))
    // An interpreter that says a word takes some 10 MB and some 20 ms of a processor, however busy the machine is.
    #expect((4 << 20..<64 << 20).contains(run.peakBytes), "\(run.peakBytes)")
    #expect(run.processorTime > .zero && run.processorTime < .seconds(1), "\(run.processorTime)")
  }

  @Test func aFailedAssertionIsFoundAtTheEndOfTheOutput() throws {
    let run = try run("print('before')\nassert 1 + 1 == 3, 'no'")
    #expect(run.outcome == .failed(code: 1))
    #expect(run.lastLine == "AssertionError: no")
    #expect(run.output.hasPrefix("before\n") && run.output.contains("assert 1 + 1 == 3"))
    #expect(try self.run("import sys; sys.exit(7)").outcome == .failed(code: 7))
    #expect(try self.run("this is no program").lastLine == "SyntaxError: invalid syntax")
  }

  @Test func anAbortIsASignal() throws {
    #expect(try run("import os; os.abort()").outcome == .killed(signal: SIGABRT))
    #expect(try run("import os; os.kill(os.getpid(), 11)").outcome == .killed(signal: SIGSEGV))
  }

  // MARK: - what it finds

  @Test func itFindsAnEmptyDirectoryNoInputAndNothingOfOurs() throws {
    let run = try run(
      """
      import os, sys
      def is_open(number):
        try:
          os.fstat(number)
          return True
        except OSError:
          return False
      print(os.listdir('.'), repr(sys.stdin.read()), [n for n in range(64) if is_open(n)])
      print(sorted(os.environ))
      print(os.getcwd())
      """)
    let lines = run.output.split(separator: "\n")
    try #require(lines.count == 3, "\(run.output)")
    #expect(lines[0] == "[] '' [0, 1, 2]")
    #expect(
      lines[1]
        == "['HOME', 'LANG', 'PATH', 'PYTHONDONTWRITEBYTECODE', 'PYTHONHASHSEED', 'PYTHONSAFEPATH', 'TMPDIR']")
    #expect(lines[2].hasSuffix("/work"))
    #expect(try FileSystem.status(String(lines[2].dropLast("/work".count))) == nil)
  }

  @Test(.enabled(if: geteuid() == 0, "the tests do not run as root, so no user is changed"))
  func ofRootNothingIsLeft() throws {
    let run = try run(
      """
      import os
      print(os.getresuid() == os.getresgid() != (0, 0, 0), 0 in os.getresuid(), os.getgroups())
      os.setuid(0)
      """)
    #expect(run.output.hasPrefix("True False []\n"))
    #expect(run.lastLine == "PermissionError: [Errno 1] Operation not permitted")
  }

  @Test func theEndOfALongOutputIsKept() throws {
    let run = try run(
      "import os\nfor i in range(200):\n  print('x' * 10000, flush=True)\nos.write(1, b'\\xff')\nprint('end')")
    #expect(run.outcome == .passed)
    #expect(run.output.hasSuffix("\u{FFFD}end\n"))
    // The byte that is no UTF-8 became three.
    #expect((63 << 10...(64 << 10) + 2).contains(run.output.utf8.count), "\(run.output.utf8.count)")
  }

  @Test func threadsAreAllowedWhereTheUserMayHaveThem() throws {
    let program = "import threading\nt = threading.Thread(target=print, args=('in a thread',))\nt.start()\nt.join()"
    // Counted over all of the user's processes: on a user's own machine there may be no room for another, and another
    // suite may be showing what becomes of a fork bomb.
    func isFull(_ run: SandboxRun) -> Bool { run.lastLine.contains("can't start new thread") }
    let deadline = Deadline.after(.seconds(30))
    var run = try run(program)
    while isFull(run), geteuid() == 0, !deadline.hasPassed { run = try self.run(program) }
    #expect(run.output == "in a thread\n" || (isFull(run) && geteuid() != 0), "\(run.output)")
  }

  // MARK: - time and memory

  @Test(arguments: [
    "while True: pass", "import time\ntime.sleep(3600)", "import os\nwhile True: os.write(1, b'x' * 9999)",
  ])
  func whatDoesNotEndIsEnded(program: String) throws {
    let started = MonotonicInstant.now
    let run = try run(program, SandboxSupport.sandbox(seconds: 1))
    let taken = MonotonicInstant.now - started
    #expect(run.outcome == .timedOut)
    #expect(taken >= .seconds(1) && taken < .seconds(8), "\(taken)")
    // Who sleeps takes none of the processor, who does not takes what there is of one second.
    #expect(run.processorTime < (program.contains("sleep") ? .milliseconds(500) : .milliseconds(1500)))
  }

  @Test func aMemoryHogIsStopped() throws {
    let run = try run("x = []\nwhile True: x.append(bytearray(1 << 20))", SandboxSupport.sandbox(memory: 64 << 20))
    #expect(run.outcome == .outOfMemory)
    #expect((32 << 20...64 << 20).contains(run.peakBytes), "\(run.peakBytes)")
  }

  @Test func aStoppedRunEndsSoonAndIsAnError() throws {
    var stopped: MonotonicInstant?
    var asked = 0
    #expect(throws: SandboxError.stopped) {
      try SandboxSupport.sandbox(seconds: 600).run("while True: pass") {
        asked += 1
        if asked == 4 { stopped = .now }
        return stopped != nil
      }
    }
    // A helper that does not end by itself is given 20 s before it is killed.
    let taken = MonotonicInstant.now - (try #require(stopped))
    #expect(taken < .seconds(8), "\(taken)")
  }

  // MARK: - files

  @Test(.enabled(if: SandboxSupport.has(.landlock), "this kernel has no Landlock"))
  func itWritesInItsOwnDirectoryAlone() throws {
    try withTemporaryDirectory { directory in
      try systemCall("chmod") { unsafe chmod(directory, 0o777) }
      for path in ["\(directory)/file", "/tmp/t2-sandbox-test", "/dev/shm/t2-sandbox-test", "../program", "../other"] {
        let run = try run("open('\(path)', 'w').write('x')")
        #expect(run.lastLine.hasPrefix("PermissionError"), "\(path): \(run.output)")
      }
      #expect(try FileSystem.entries(directory).isEmpty)
    }
    let own = try run(
      "import os\nos.mkdir('d')\nopen('d/f', 'w').write('x')\nos.rename('d/f', 'g')\nprint(open('g').read())")
    #expect(own.output == "x\n")
  }

  @Test(.enabled(if: SandboxSupport.has(.landlock), "this kernel has no Landlock"))
  func itReadsNothingOfTheSystemBeyondTheInterpreters() throws {
    // Of its own supervisor, whose memory and socket it must not reach, as little as of anybody else.
    for path in ["/etc/passwd", "/proc/self/environ", "/proc/self/mem", "/proc", "/sys", "/tmp", "/root", "/"] {
      let run = try run(
        "import os\nprint(os.listdir('\(path)') if os.path.isdir('\(path)') else open('\(path)').read())")
      #expect(run.lastLine.hasPrefix("PermissionError"), "\(path): \(run.output)")
    }
  }

  @Test func aFileCannotGrowWithoutBound() throws {
    let run = try run("f = open('big', 'wb')\nwhile True: f.write(b'x' * (1 << 20))")
    #expect(run.outcome == .failed(code: 1) && run.lastLine == "OSError: [Errno 27] File too large")
  }

  @Test(.enabled(if: SandboxSupport.has(.boundedDirectory), "this system gives no file system of one's own"))
  func manyFilesCannotFillTheDisk() throws {
    let run = try run("for i in range(10**6): open(str(i), 'wb').write(b'x' * 100000)")
    #expect(run.outcome == .failed(code: 1) && run.lastLine == "OSError: [Errno 28] No space left on device")
  }

  @Test func directoriesThatItClosedAreRemovedTooEvenWithoutAFileSystemOfItsOwn() throws {
    let run = try run(
      """
      import os
      os.makedirs('a/b')
      open('a/b/f', 'w').close()
      os.chmod('a/b', 0)
      os.chmod('a', 0)
      print(os.getcwd())
      os.chmod('.', 0)
      """, SandboxSupport.sandbox(without: [.boundedDirectory]))
    #expect(run.outcome == .passed)
    let directory = run.output.dropLast("/work\n".count)
    #expect(directory.contains("/t2."))
    #expect(try FileSystem.status(String(directory)) == nil)
  }

  // MARK: - processes

  /// Forks as fast as it can, and says where its file is. Never run as root, whom no limit binds.
  private func bomb(_ sandbox: Sandbox) throws -> SandboxRun {
    try #require(SandboxSupport.has(.user), "the bomb would be root")
    let run = try run(
      """
      import os, sys
      print(sys.argv[0], flush=True)
      while True:
        try:
          os.fork()
        except OSError:
          pass
      """, sandbox)
    try #require(run.protections.contains(.user))
    return run
  }

  @Test(.enabled(if: SandboxSupport.has(.seccomp), "this kernel has no seccomp"))
  func aForkBombIsForbidden() throws {
    #expect(try bomb(SandboxSupport.sandbox(seconds: 30)).outcome == .forbidden)
  }

  /// What the limits and the supervisor do by themselves, without and with a namespace of processes.
  @Test(arguments: [SandboxSupport.all, [.seccomp, .landlock]])
  func aForkBombThatNoFilterStopsLeavesNothingBehind(omitted: [SandboxProtection]) throws {
    let run = try bomb(SandboxSupport.sandbox(seconds: 1, without: omitted))
    #expect(run.outcome == .timedOut)
    #expect(Set(run.protections).isDisjoint(with: omitted))
    let program = try #require(run.output.split(separator: "\n").first)
    #expect(program.hasSuffix("/program"))
    #expect(try SandboxSupport.processes(running: String(program)) == 0)
  }

  @Test(arguments: [SandboxSupport.all, [.seccomp, .landlock]])
  func whatLeftItsGroupAndItsParentIsEndedToo(omitted: [SandboxProtection]) throws {
    let run = try run(
      """
      import os, sys, time
      try:
        if os.fork() == 0:
          os.setsid()
          if os.fork() == 0:
            time.sleep(3600)
          os._exit(0)
        os.wait()
        print(sys.argv[0])
      except BlockingIOError:
        print(sys.argv[0], 'could not fork')
      """, SandboxSupport.sandbox(without: omitted))
    #expect(run.outcome == .passed)
    let program = try #require(run.output.split(separator: " ").first).split(separator: "\n")[0]
    #expect(program.hasSuffix("/program"))
    #expect(try SandboxSupport.processes(running: String(program)) == 0)
  }

  @Test(.enabled(if: SandboxSupport.has(.seccomp), "this kernel has no seccomp"))
  func itStartsNoPrograms() throws {
    #expect(try run("import subprocess\nsubprocess.run(['/bin/true'])").outcome == .forbidden)
    #expect(try run("import os\nos.system('true')").outcome == .forbidden)
  }

  @Test(.enabled(if: SandboxSupport.has(.seccomp), "this kernel has no seccomp"))
  func itSignalsNobodyElse() throws {
    let run = try run("import os\nos.kill(os.getppid(), 9)")
    #expect(run.lastLine == "PermissionError: [Errno 1] Operation not permitted")
    #expect(try self.run("import os\nos.kill(os.getpid(), 9)").outcome == .killed(signal: SIGKILL))
    let clinging = try self.run("import ctypes\nprint(ctypes.CDLL(None).prctl(1, 0), ctypes.CDLL(None).prctl(3))")
    #expect(clinging.output == "-1 1\n", "it may not ask to outlive us; other calls of prctl are allowed")
  }

  @Test(.enabled(if: SandboxSupport.has(.seccomp), "this kernel has no seccomp"))
  func othersMemoryAndShareOfTheMachineAreOutOfReach() throws {
    let libc = "import ctypes, os\nc = ctypes.CDLL(None, use_errno=True)\n"
    #expect(try run(libc + "c.ptrace(16, os.getppid(), 0, 0)").outcome == .forbidden)
    #expect(try run(libc + "c.process_vm_readv(os.getppid(), 0, 0, 0, 0, 0)").outcome == .forbidden)
    for call in ["os.setpriority(0, os.getppid(), 19)", "os.sched_setaffinity(os.getppid(), [0])", "os.nice(5)"] {
      let run = try run("import os\n\(call)")
      #expect(run.lastLine == "PermissionError: [Errno 1] Operation not permitted", "\(call): \(run.output)")
    }
  }

  /// Calls that the kernel has learned since: statmount and open_tree_attr would fail with EFAULT.
  @Test(.enabled(if: SandboxSupport.has(.seccomp), "this kernel has no seccomp"))
  func callsThatAreNewerThanTheFilterDoNotExist() throws {
    let run = try run(
      """
      import ctypes, errno
      c = ctypes.CDLL(None, use_errno=True)
      for number in [451, 457, 467, 1000]:
        print(c.syscall(number, 0, 0, 0, 0), errno.errorcode[ctypes.get_errno()])
      """)
    #expect(run.output == String(repeating: "-1 ENOSYS\n", count: 4))
  }

  // MARK: - the network

  @Test(.enabled(if: SandboxSupport.has(.seccomp), "this kernel has no seccomp"))
  func aSocketIsForbidden() throws {
    for family in ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"] {
      #expect(try run("import socket\nsocket.socket(socket.\(family))").outcome == .forbidden, "\(family)")
    }
  }

  @Test(.enabled(if: SandboxSupport.has(.networkNamespace), "this system gives no network namespace"))
  func withoutTheFilterThereIsStillNoNetwork() throws {
    let run = try run(
      "import socket\nsocket.create_connection(('127.0.0.1', 9))",
      SandboxSupport.sandbox(without: [.seccomp, .landlock]))
    #expect(run.lastLine == "OSError: [Errno 101] Network is unreachable")
  }

  // MARK: - what cannot be run

  private func error(
    _ change: (inout SandboxSettings) -> Void, helper: String? = nil, omitting omitted: [SandboxProtection] = []
  ) -> String {
    var settings = SandboxSupport.settings
    change(&settings)
    do {
      return "\(try Sandbox(settings, helper: helper, omitting: omitted).run("pass").outcome)"
    } catch {
      return error.description
    }
  }

  @Test func whatIsMissingIsNamed() {
    #expect(
      error { $0.interpreter = "/nonexistent/python3" }
        == "code cannot be run: there is no interpreter '/nonexistent/python3'; install python3, or set code.interpreter in "
        + "t2d.json5 to one that every user may run")
    #expect(
      error({ _ in }, helper: "/nonexistent/t2-sandbox")
        == "code cannot be run: there is no program '/nonexistent/t2-sandbox'; it is built and installed beside t2-worker"
    )
    #expect(
      error { $0.interpreter = "/etc/passwd" }
        == "code cannot be run: the sandbox cannot start the interpreter: Permission denied (EACCES)")
    #expect(
      error({ $0.required = [.limits, .landlock] }, omitting: [.landlock])
        == "code is not run: the configuration requires landlock, which this system does not give; see code.require in "
        + "t2d.conf(5)")
    #expect(error({ _ in }, helper: "/bin/true").contains("t2-sandbox ended with exit code 0 and said nothing"))
  }

  @Test(.enabled(if: geteuid() == 0, "the tests do not run as root, so no user is changed"))
  func theUserMustExistAndNotBeRoot() {
    #expect(
      error { $0.user = "nonesuch" } == "code cannot be run: the sandbox cannot find the user; see code in t2d.conf(5)")
    #expect(error { $0.user = "root" }.contains("cannot take a user that is not root"))
  }

  @Test func theHelperKnowsEveryProtection() {
    #expect(error({ _ in }, omitting: SandboxProtection.allCases.filter { $0 != .user }) == "passed")
  }

  // MARK: - anything at all

  /// Whatever a model writes, a run ends by itself and says how.
  @Test func randomBytesNeverHangOrBreakTheRunner() throws {
    var random = SplitMix(seed: 7)
    let sandbox = SandboxSupport.sandbox()
    let alphabet = Array("()[]{}:=+-*/'\"\\\n\t #abcdefgimnprstyx0123456789.,".unicodeScalars)
    let count = environmentVariable("T2D_TEST_ALL") == nil ? 40 : 1000
    for round in 0..<count {
      let length = random.below(200)
      var text = ""
      for _ in 0..<length {
        let anything = Unicode.Scalar(UInt32(truncatingIfNeeded: random.next() % 0x500)) ?? "?"
        text.unicodeScalars.append(round % 2 == 0 ? anything : alphabet[random.below(alphabet.count)])
      }
      let run = try sandbox.run(text)
      switch run.outcome {
      case .passed, .failed: break
      case .timedOut, .outOfMemory, .forbidden, .killed: Issue.record("\(run.outcome): \(text.debugDescription)")
      }
    }
  }

  @Test(arguments: ["", "exit", "exit 0 0 0", "exit x 0 0 -", "boom 0 0 0 -", "exit 99999999999 0 0 -"])
  func aReportThatIsNoneIsAnErrorAndNoVerdict(line: String) {
    #expect(throws: SandboxError.noReport(exit: "the line '\(line)'")) {
      try Sandbox.read(line, "", SandboxSettings())
    }
  }

  @Test func theSettingsComeBackFromTheirJSON() throws {
    var settings = SandboxSettings()
    settings.timeout = .milliseconds(1500)
    settings.required = []
    #expect(try RecordReader(unknownMembers: .refused).read(RecordWriter.json(settings)) == settings)
  }
}
