package import Digests
package import Multipliers

/// SHA-256 over a model's target matrices: names sorted by bytes, each as `name \0 ROWSxCOLUMNS \0` and its values as
/// little-endian floats. A copy of the same base in other shards has the same digest, another quantisation has not.
///
/// `values` returns the matrix's rows * columns floats; they must stay valid until the next call.
package func modelDigest<Failure: Error>(
  of targets: [TargetMatrix], values: (TargetMatrix) throws(Failure) -> UnsafePointer<Float>
) throws(Failure) -> Digest {
  var hash = SHA256()
  let ordered = targets.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
  for target in ordered {
    hash.update("\(target.name)\0\(target.rows)x\(target.columns)\0")
    // Floats lie in memory as the digest wants them: x86-64 and arm64 are little-endian.
    let floats = unsafe try values(target)
    unsafe hash.update(UnsafeRawBufferPointer(start: floats, count: target.rows * target.columns * 4))
  }
  return hash.finish()
}
