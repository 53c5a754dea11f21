import RPCProtocol
import RPCServer
import SystemSupport

extension Service {
  /// Reads the file that came with a request and hands its bytes to `body`, both on the thread for the files of its user;
  /// what is thrown there is the answer. What the file is of is not believed: it may be no file, grow, or never end.
  static func readPassed<Value>(
    _ reply: Reply<Value>, atMost maximumBytes: Int, _ body: @escaping @Sendable ([UInt8]) throws(RPCError) -> Void
  ) throws(RPCError) {
    try passedFile(reply).use { descriptor in
      do throws(RPCError) {
        try body(try bytes(of: descriptor, atMost: maximumBytes))
      } catch {
        reply.fail(error)
      }
    }
  }

  /// The file that came with a request.
  static func passedFile<Value>(_ reply: Reply<Value>) throws(RPCError) -> PassedFile {
    guard let file = reply.request.file else {
      throw RPCError(
        .invalidParams, "the file itself is missing: the daemon opens no path that a client names",
        hint: "pass its open descriptor along with the line (SCM_RIGHTS), as t2ctl does")
    }
    return file
  }

  /// Into memory: a mapping would end the daemon when the file is cut (SIGBUS).
  private static func bytes(of file: FileDescriptor, atMost maximumBytes: Int) throws(RPCError) -> [UInt8] {
    let status: FileStatus
    let bytes: [UInt8]
    do throws(SystemCallError) {
      status = try file.status()
      let isTaken = status.kind == .regular && status.size <= maximumBytes
      bytes = isTaken ? try file.bytes(at: 0, count: status.size) : []
    } catch {
      throw RPCError(
        .fileNotReadable, "the file that was passed cannot be read: \(error)", hint: "open it for reading")
    }
    guard status.kind == .regular else {
      throw RPCError(.fileNotReadable, "what was passed is \(status.kind.phrase), and must be a regular file")
    }
    guard status.size <= maximumBytes else {
      throw RPCError(.badFile, "the file has \(status.size) bytes, and at most \(maximumBytes) are read")
    }
    return bytes
  }
}
