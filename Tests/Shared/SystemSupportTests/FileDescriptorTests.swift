import Glibc
import SystemSupport
import Testing

struct FileDescriptorTests {
  @Test func theLastReferenceClosesTheDescriptor() throws {
    var descriptor: FileDescriptor? = try FileDescriptor.open("/dev/null")
    let number = try #require(descriptor).number
    let twin = try #require(descriptor).duplicate()
    #expect(fcntl(number, F_GETFD) & FD_CLOEXEC != 0)
    descriptor = nil
    // The number may have been given to another thread's file since, but it cannot be this one's again: ask the twin.
    #expect(twin.isOpen)
    try twin.close()
    #expect(!twin.isOpen)
    try twin.close()
  }

  @Test func aMissingFileIsAnErrorThatNamesCallPathAndCause() {
    let error = #expect(throws: SystemCallError.self) { try FileDescriptor.open("/nonexistent/a\nb") }
    #expect(error?.number == ENOENT)
    #expect(error?.name == "ENOENT")
    #expect(error?.description == "cannot open '/nonexistent/a\\nb': No such file or directory (ENOENT)")
  }

  @Test func anErrorSaysWhatToDo() {
    let error = SystemCallError("write", "/x", number: ENOSPC)
    #expect(
      error.description
        == "cannot write '/x': No space left on device (ENOSPC); free some space on that file system")
  }

  @Test func bytesAtAnOffsetStopAtTheEndOfTheFile() throws {
    let descriptor = try FileDescriptor.open("/tmp", O_RDWR | 0o20200000, mode: 0o600)  // O_TMPFILE
    try descriptor.write(all: Array("hello world".utf8))
    try descriptor.synchronize()
    #expect(try descriptor.bytes(at: 6, count: 100) == Array("world".utf8))
    #expect(try descriptor.bytes(at: 11, count: 1) == [])
    #expect(try descriptor.bytes(at: 0, count: 5) == Array("hello".utf8))
  }
}
