import CLinux
import Glibc
import SystemSupport

/// A client that asks the same question again and again, and the floor it is compared with.
///
/// Latency is from before the request's `send` to after the last byte of its answer; the answers have all the same
/// length, so the client counts bytes and parses nothing.
struct QueryLoad {
  let request: [UInt8]
  let answerBytes: Int

  struct Latency {
    var p50: Double
    var p99: Double
    var worst: Double
  }

  /// One request at a time, in microseconds.
  func latency(at path: String, requests: Int, warmUp: Int = 2_000) throws -> Latency {
    let socket = try Self.connect(path)
    var buffer = [UInt8](repeating: 0, count: max(answerBytes, 4096))
    var nanoseconds: [Int64] = []
    nanoseconds.reserveCapacity(requests)
    for index in 0..<warmUp + requests {
      let start = MonotonicInstant.now
      try Self.send(request, socket)
      try Self.receive(answerBytes, &buffer, socket)
      if index >= warmUp { nanoseconds.append((MonotonicInstant.now - start).inNanoseconds) }
    }
    nanoseconds.sort()
    func microseconds(_ index: Int) -> Double { Double(nanoseconds[min(index, requests - 1)]) / 1e3 }
    return Latency(
      p50: microseconds(requests / 2), p99: microseconds(requests * 99 / 100), worst: microseconds(requests - 1))
  }

  /// Requests a second on one connection, with two batches under way.
  func pipelined(at path: String, requests: Int, batch: Int = 128) throws -> Double {
    let socket = try Self.connect(path)
    let bytes = Array((0..<batch).map { _ in request }.joined())
    var buffer = [UInt8](repeating: 0, count: batch * answerBytes)
    let rounds = requests / batch
    try Self.send(bytes, socket)
    let start = MonotonicInstant.now
    for _ in 0..<rounds {
      try Self.send(bytes, socket)
      try Self.receive(buffer.count, &buffer, socket)
    }
    let seconds = (MonotonicInstant.now - start).inSeconds
    try Self.receive(buffer.count, &buffer, socket)
    return Double(rounds * batch) / seconds
  }

  /// The answer to one request, newline included.
  static func ask(_ request: [UInt8], at path: String) throws -> [UInt8] {
    let socket = try connect(path)
    try send(request, socket)
    var answer: [UInt8] = []
    var byte = [UInt8](repeating: 0, count: 1)
    repeat {
      try receive(1, &byte, socket)
      answer.append(byte[0])
    } while byte[0] != 0x0a
    return answer
  }

  private static func connect(_ path: String) throws(SystemCallError) -> FileDescriptor {
    let socket = FileDescriptor(takingOwnershipOf: try systemCall("create a socket") { t2_unix_socket(0) })
    try systemCall("connect to", path) { unsafe t2_unix_connect(socket.number, path) }
    return socket
  }

  private static func send(_ bytes: [UInt8], _ socket: FileDescriptor) throws(SystemCallError) {
    var done = 0
    while done < bytes.count {
      done += try systemCall("send") {
        unsafe bytes.withUnsafeBytes {
          unsafe Glibc.send(
            socket.number, $0.baseAddress.map { unsafe $0 + done }, bytes.count - done, Int32(MSG_NOSIGNAL))
        }
      }
    }
  }

  private static func receive(
    _ count: Int, _ buffer: inout [UInt8], _ socket: FileDescriptor
  ) throws(SystemCallError) {
    var done = 0
    while done < count {
      let received = try systemCall("receive") {
        unsafe buffer.withUnsafeMutableBytes {
          unsafe recv(socket.number, $0.baseAddress.map { unsafe $0 + done }, count - done, 0)
        }
      }
      if received == 0 { throw SystemCallError("receive an answer: the connection has ended", number: ECONNRESET) }
      done += received
    }
  }
}

/// The floor: a thread that answers every read of a Unix socket with the same bytes, and looks at none of them.
final class EchoServer {
  private let listening: FileDescriptor
  private let thread: OwnedThread

  /// Serves one connection after the other until the listening socket is shut.
  init(path: String, answer: [UInt8]) throws {
    let listening = FileDescriptor(takingOwnershipOf: try systemCall("create a socket") { t2_unix_socket(0) })
    try systemCall("bind a socket to", path) { unsafe t2_unix_bind(listening.number, path) }
    try systemCall("listen on", path) { listen(listening.number, 8) }
    self.listening = listening
    thread = try OwnedThread(name: "echo") {
      var buffer = [UInt8](repeating: 0, count: 65_536)
      while true {
        let number = Glibc.accept(listening.number, nil, nil)
        guard number >= 0 else { return }
        let socket = FileDescriptor(takingOwnershipOf: number)
        while true {
          let count = unsafe buffer.withUnsafeMutableBytes { unsafe recv(socket.number, $0.baseAddress, $0.count, 0) }
          guard count > 0 else { break }
          let sent = unsafe answer.withUnsafeBytes {
            unsafe send(socket.number, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
          }
          guard sent == answer.count else { break }
        }
      }
    }
  }

  func stop() {
    shutdown(listening.number, Int32(SHUT_RDWR))
    thread.join()
  }
}
