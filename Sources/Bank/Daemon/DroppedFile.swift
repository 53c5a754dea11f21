import Digests
import Registry
import SystemSupport
import Watcher

/// A dropped file, read once: its private copy on the disk, and in memory the bytes that were written there.
///
/// What is checked and hashed are these bytes, and what is kept is the file into which they went: `relinquish` says
/// which, by its identity at the end of the copy, and the store refuses any other and one that was touched since.
struct DroppedFile {
  let copy: StagedFile
  let bytes: [UInt8]

  /// Blocks for the copy; any thread but the watcher's. `isDurable`: the copy is on the disk when this returns; where it is
  /// not, whoever publishes it sees to that.
  init(
    copying name: String, from directory: FileDescriptor, into staging: String, maximumBytes: Int, isDurable: Bool
  ) throws(Refusal) {
    var limits = StagingLimits()
    limits.isDurable = isDurable
    limits.maximumBytes = maximumBytes
    var bytes: [UInt8] = []
    do throws(StagingError) {
      copy = try stageCopy(name, from: directory, into: staging, limits: limits) { chunk in
        unsafe chunk.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) }
      }
    } catch {
      throw Refusal(error)
    }
    self.bytes = bytes
  }

  /// The copy belongs to the caller from now on.
  func relinquish() -> StagedContent {
    StagedContent(path: copy.relinquish(), digest: SHA256.digest(bytes), identity: copy.identity)
  }
}
