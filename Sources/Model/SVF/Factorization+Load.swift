import Glibc
package import Multipliers
import SystemSupport

extension Factorization {
  /// The factorization in a cache file; nil where there is none, or one that is not exactly what ``compute`` would write
  /// for this model: another version, another model, cut short, writable by others. Such a file is never an error: it is
  /// computed anew and replaced.
  /// - Parameters:
  ///   - digest: of the model.
  ///   - layout: of the model; its names and shapes are part of what is compared.
  package static func load(
    cacheFile path: String, expecting digest: String, layout: MultiplierLayout
  ) throws(SVFError) -> Factorization? {
    guard let file = FactorizationFile(digest: digest, layout: layout) else {
      throw .tooLarge(matrices: layout.matrices.count)
    }
    do throws(SystemCallError) {
      let descriptor = try FileDescriptor.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
      guard try isOurs(descriptor, byteCount: file.byteCount) else { return nil }
      guard try descriptor.bytes(at: 0, count: file.header.count) == file.header else { return nil }
      let memory = try MappedFile(mapping: descriptor, byteCount: file.byteCount)
      let factorization = Factorization(layout: layout, file: file, memory: memory, isCached: true)
      return factorization.hasPlausibleSigma ? factorization : nil
    } catch {
      // A symbolic link or a directory in its place is not ours either; `compute` says what is wrong when it writes.
      if [ENOENT, ENOTDIR, ELOOP, EISDIR, ENXIO].contains(error.number) { return nil }
      throw .file(error)
    }
  }

  /// A regular file of that size that nobody but its owner may write, and the owner is us or root: whoever can cut a
  /// mapped file short kills the process that maps it.
  private static func isOurs(_ descriptor: FileDescriptor, byteCount: Int) throws(SystemCallError) -> Bool {
    let status = try descriptor.status()
    return status.kind == .regular && status.size == byteCount && status.mode & 0o022 == 0
      && (status.owner == geteuid() || status.owner == 0)
  }

  /// Finite, not negative, descending in each matrix: 1/1000 of the file, and what every rescale divides by.
  private var hasPlausibleSigma: Bool {
    for matrix in layout.matrices.indices {
      var last = Float.greatestFiniteMagnitude
      for index in layout.range(of: matrix) {
        let value = sigma[index]
        guard value >= 0, value <= last else { return false }  // False for a NaN too.
        last = value
      }
    }
    return true
  }
}
