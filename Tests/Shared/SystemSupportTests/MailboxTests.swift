import Glibc
import SystemSupport
import Testing

@Suite struct MailboxTests {
  /// What a thread that waits on the descriptor sees, without waiting.
  private func isReadable<Element>(_ mailbox: Mailbox<Element>) -> Bool {
    var asked = pollfd(fd: mailbox.descriptor.number, events: Int16(POLLIN), revents: 0)
    return unsafe poll(&asked, 1, 0) == 1
  }

  @Test func whatIsPutIsTakenInOrder() throws {
    let mailbox = try Mailbox<Int>()
    for number in 1...5 { #expect(mailbox.put(number)) }
    #expect(mailbox.take() == 1)
    #expect(mailbox.takeAll() == [2, 3, 4, 5])
    #expect(mailbox.takeAll() == [])
  }

  @Test func theDescriptorIsReadableExactlyWhileSomethingWaits() throws {
    let mailbox = try Mailbox<Int>()
    #expect(!isReadable(mailbox) && mailbox.wouldBlock)
    mailbox.put(1)
    mailbox.put(2)
    #expect(isReadable(mailbox) && !mailbox.wouldBlock)
    #expect(mailbox.take() == 1)
    #expect(isReadable(mailbox))
    #expect(mailbox.take() == 2)
    #expect(!isReadable(mailbox) && mailbox.wouldBlock)
    // A take of nothing must not eat the signal of what comes.
    #expect(mailbox.takeAll() == [])
    mailbox.put(3)
    #expect(isReadable(mailbox))
    var taken: [Int] = []
    #expect(mailbox.takeAll(into: &taken))
    #expect(taken == [3] && !isReadable(mailbox))
  }

  @Test func aClosedMailboxGivesWhatItHasAndTakesNothing() throws {
    let mailbox = try Mailbox<Int>()
    mailbox.put(1)
    mailbox.put(2)
    mailbox.close()
    #expect(mailbox.isClosed && !mailbox.put(3))
    #expect(mailbox.take() == 1)
    var rest: [Int] = []
    #expect(!mailbox.takeAll(into: &rest))
    #expect(rest == [2] && mailbox.take() == nil)
    // Whoever waits for it in a set with others hears of the end.
    #expect(isReadable(mailbox) && !mailbox.wouldBlock)
  }

  @Test func whoTakesWaitsForWhatIsPutLater() throws {
    let mailbox = try Mailbox<Int>()
    let answers = try Mailbox<Int?>()
    let taker = try OwnedThread(name: "taker") {
      while let number = mailbox.take() { answers.put(number * 10) }
      answers.put(nil)
    }
    mailbox.put(1)
    #expect(answers.take() == .some(10))
    mailbox.put(2)
    #expect(answers.take() == .some(20))
    mailbox.close()
    #expect(answers.take() == .some(nil))
    taker.join()
  }

  @Test func aWaitEndsAtItsDeadlineOrWithTheFirstElement() throws {
    let mailbox = try Mailbox<Int>()
    let begun = MonotonicInstant.now
    mailbox.wait(until: .after(.milliseconds(20)))
    #expect(MonotonicInstant.now - begun >= .milliseconds(20))
    let putter = try OwnedThread(name: "putter") { mailbox.put(1) }
    while mailbox.wouldBlock { mailbox.wait(until: .never) }
    #expect(mailbox.takeAll() == [1])
    putter.join()
  }

  /// Nothing is lost, nothing comes twice, what one thread puts keeps its order, and no signal is missed: with a missed
  /// one the taker would wait for ever.
  @Test func manyThreadsPutAtOnce() throws {
    let mailbox = try Mailbox<(putter: Int, number: Int)>()
    let count = 2000
    let putters = try (0..<4).map { putter in
      try OwnedThread(name: "putter") { for number in 0..<count { mailbox.put((putter, number)) } }
    }
    let epoll = try Epoll()
    try epoll.add(mailbox.descriptor, .read, token: 1)
    var next = [0, 0, 0, 0]
    var taken: [(putter: Int, number: Int)] = []
    while next.reduce(0, +) < 4 * count {
      try epoll.wait { _, _ in }
      #expect(mailbox.takeAll(into: &taken))
      for element in taken {
        #expect(element.number == next[element.putter])
        next[element.putter] += 1
      }
      taken.removeAll(keepingCapacity: true)
    }
    for putter in putters { putter.join() }
    #expect(!isReadable(mailbox))
  }
}
