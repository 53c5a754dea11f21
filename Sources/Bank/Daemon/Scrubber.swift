import Digests
import Glibc
import Registry
import RPCProtocol
import SystemSupport

/// Reads the files of the store and compares them with their digests: at once those that are to be handed out and were
/// not looked at since the start, and slowly, again and again, all that the catalogue names.
///
/// A thread of its own, which only reads. What it finds damaged is looked at once more by the catalogue's thread, which
/// decides.
final class Scrubber: Sendable {
  private enum Order: Sendable {
    case open(BlobReference, then: @Sendable (FileDescriptor?) -> Void)
    /// The next files of the running pass; none: it is done.
    case page([StoredFile])
  }

  /// A file that is being read, a piece at a time.
  private struct Reading {
    var file: StoredFile
    var descriptor: FileDescriptor
    var hash = SHA256()
    var offset = 0
  }

  private static let piece = 1 << 18
  /// Files that are asked for at a time.
  static let pageSize = 256

  private let store: BlobStore
  private let settings: Configuration.Scrub
  private let board: StatusBoard
  private let catalogue: CatalogueThread
  private let orders: Mailbox<Order>
  private let thread = Mutex<OwnedThread?>(nil)
  /// Blobs that were whole, and the file that was: as long as it is the same file, nobody reads it again for a client.
  private let whole = Mutex<[String: FileIdentity]>([:])

  init(
    _ store: BlobStore, _ settings: Configuration.Scrub, board: StatusBoard, catalogue: CatalogueThread
  ) throws(SystemCallError) {
    self.store = store
    self.settings = settings
    self.board = board
    self.catalogue = catalogue
    orders = try Mailbox()
  }

  func start() throws(SystemCallError) {
    let started = try OwnedThread(name: "scrub") { self.run() }
    thread.withLock { $0 = started }
  }

  /// Waits for the piece that is being read.
  func stop() {
    orders.close()
    thread.withLock { $0 }?.join()
  }

  // MARK: - Any thread

  /// An open blob whose bytes are what was stored; `then` is called at once where that is known, and else on the
  /// scrubber's thread. Nil where it is damaged, cannot be read, or the daemon ends; the catalogue's thread looks at it.
  func open(_ blob: BlobReference, then: @escaping @Sendable (FileDescriptor?) -> Void) {
    if let file = try? FileDescriptor.open(store.path(blob), O_RDONLY | O_NONBLOCK),
      let identity = try? file.status().identity, whole.withLock({ $0[blob.hex] }) == identity
    {
      return then(file)
    }
    if !orders.put(.open(blob, then: then)) { then(nil) }
  }

  // MARK: - Its thread

  private func run() {
    var waiting: [Order] = []
    var pass = Pass(begins: settings.isOn ? .now + settings.delay : nil)
    while true {
      let isOpen = orders.takeAll(into: &waiting)
      for order in waiting {
        switch order {
        case .open(let blob, let then): then(isOpen ? verified(blob) : nil)
        case .page(let files): pass.take(files)
        }
      }
      waiting.removeAll(keepingCapacity: true)
      guard isOpen else { return }
      if let due = pass.due, due <= .now { step(&pass) }
      orders.wait(until: pass.due.map { Deadline(instant: $0) } ?? .never)
    }
  }

  private func verified(_ blob: BlobReference) -> FileDescriptor? {
    guard let file = try? FileDescriptor.open(store.path(blob), O_RDONLY | O_NONBLOCK),
      let before = try? file.status().identity, let (digest, _) = try? BlobStore.digest(file),
      digest.hex == blob.hex, (try? file.status().identity) == before
    else { return nil }
    whole.withLock { $0[blob.hex] = before }
    return file
  }

  /// How far the running pass is.
  private struct Pass {
    /// When the next piece is due; nil while the catalogue is asked, or where nothing is ever read.
    var due: MonotonicInstant?
    var files: ArraySlice<StoredFile> = []
    /// The last file that the catalogue named.
    var last = ""
    var isAtEnd = false
    var reading: Reading?
    var count = 0
    var bytes = 0

    init(begins: MonotonicInstant?) { due = begins }

    mutating func take(_ page: [StoredFile]) {
      files = page[...]
      last = page.last?.file ?? last
      isAtEnd = page.isEmpty
      due = .now
    }
  }

  /// Reads a piece, begins a file, asks for more, or ends the pass.
  private func step(_ pass: inout Pass) {
    if pass.reading == nil {
      guard let file = pass.files.popFirst() else { return pass.isAtEnd ? end(&pass) : ask(&pass) }
      pass.reading = begin(file)
      pass.count += 1
    }
    guard var reading = pass.reading else { return }
    pass.reading = nil
    do throws(SystemCallError) {
      let bytes = try reading.descriptor.bytes(at: reading.offset, count: Self.piece)
      reading.hash.update(bytes)
      reading.offset += bytes.count
      pass.bytes += bytes.count
      pass.due = .now + .seconds(Double(bytes.count) / Double(settings.bytesPerSecond))
      if bytes.count == Self.piece {
        pass.reading = reading
      } else {
        finish(reading)
      }
    } catch {
      report(reading.file)
    }
  }

  /// Nil, and reported, where it cannot be opened.
  private func begin(_ file: StoredFile) -> Reading? {
    do throws(SystemCallError) {
      let descriptor = try FileDescriptor.open(file.path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW)
      // What memory still has says nothing of the disk.
      _ = posix_fadvise(descriptor.number, 0, 0, POSIX_FADV_DONTNEED)
      return Reading(file: file, descriptor: descriptor)
    } catch {
      report(file)
      return nil
    }
  }

  private func finish(_ reading: Reading) {
    let file = reading.file.file
    let isWhole = BlobStore.problem(of: reading.hash.finish(), reading.file.hex) == nil
    guard isWhole else {
      if let hex = BlobReference.hex(ofFile: file) { _ = whole.withLock { $0.removeValue(forKey: hex) } }
      return report(reading.file)
    }
    catalogue.post { coordinator in
      if coordinator.snapshot.damage[file] != nil { coordinator.examine(file) }
    }
  }

  private func report(_ file: StoredFile) {
    let file = file.file
    catalogue.post { $0.examine(file) }
  }

  private func ask(_ pass: inout Pass) {
    pass.due = nil
    let last = pass.last
    catalogue.post { [orders] in orders.put(.page($0.storedFiles(after: last, limit: Self.pageSize))) }
  }

  private func end(_ pass: inout Pass) {
    board.scrubbed(files: pass.count, bytes: pass.bytes)
    pass = Pass(begins: .now + settings.pause)
  }
}
