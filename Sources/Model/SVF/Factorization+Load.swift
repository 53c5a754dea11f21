import Glibc
package import LinearAlgebra
package import Multipliers
import SystemSupport

extension Factorization {
  /// What lies in a cache file.
  package enum Cached {
    /// Exactly what ``compute`` has written for this model, as its checksums say.
    case whole(Factorization)
    /// No file, or one of an earlier version: there is nothing to say of it.
    case missing
    /// Something else than what was written, in words: cut short, written to, of another model, writable by others.
    case damaged(String)
  }

  /// The factorization in a cache file, which is read once as a whole. What is not ``Cached/whole`` is never an error: it
  /// is computed anew and replaced.
  /// - Parameters:
  ///   - digest: of the model.
  ///   - layout: of the model; its names and shapes are part of what is compared.
  ///   - precision: of Q; a file of another is not of this factorization.
  ///   - pool: its threads compare the checksums.
  ///   - shouldStop: asked before each matrix; where it says true, throws ``SVFError/stopped``.
  package static func load(
    cacheFile path: String, expecting digest: String, layout: MultiplierLayout, precision: FactorPrecision = .single,
    pool: ComputePool, shouldStop: @escaping @Sendable () -> Bool = { false }
  ) throws(SVFError) -> Cached {
    guard let file = FactorizationFile(digest: digest, layout: layout, precision: precision) else {
      throw .tooLarge(matrices: layout.matrices.count)
    }
    let factorization: Factorization
    do throws(SystemCallError) {
      let descriptor = try FileDescriptor.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
      let beginning = try descriptor.bytes(at: 0, count: file.header.count)
      if FactorizationFile.isOlder(beginning) { return .missing }
      let others = FactorPrecision.allCases.filter { $0 != precision }
      if others.contains(where: {
        FactorizationFile(digest: digest, layout: layout, precision: $0)?.header == beginning
      }) {
        return .missing
      }
      if let problem = try notOurs(descriptor, byteCount: file.byteCount) { return .damaged(problem) }
      guard beginning == file.header else { return .damaged("its header is not that of this model's factorization") }
      let memory = try MappedFile(mapping: descriptor, byteCount: file.byteCount)
      factorization = Factorization(layout: layout, file: file, memory: memory, isCached: true)
    } catch {
      switch error.number {
      case ENOENT, ENOTDIR: return .missing
      // `compute` says what is wrong with the place when it writes.
      case ELOOP, EISDIR, ENXIO: return .damaged("something else has its name: \(error)")
      case EIO: return .damaged("the disk cannot read it: \(error)")
      default: throw .file(error)
      }
    }
    let problem = factorization.damage(pool, shouldStop: shouldStop)
    guard !shouldStop() else { throw .stopped }
    return problem.map { .damaged($0) } ?? .whole(factorization)
  }

  /// What speaks against a file; it must be a regular one of that size that nobody but its owner may write, and the owner
  /// us or root: whoever can cut a mapped file short kills the process that maps it.
  private static func notOurs(_ descriptor: FileDescriptor, byteCount: Int) throws(SystemCallError) -> String? {
    let status = try descriptor.status()
    guard status.kind == .regular else { return "it is \(status.kind.phrase)" }
    guard status.size == byteCount else { return "it has \(status.size) bytes, and should have \(byteCount)" }
    guard status.mode & 0o022 == 0, status.owner == geteuid() || status.owner == 0 else {
      return "others may write it (mode \(String(status.mode, radix: 8)), uid \(status.owner))"
    }
    return nil
  }
}
