import Registry
import RPCProtocol
import SystemSupport

extension ExpertExport: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    try service.handOut(reply) { (snapshot) throws(RPCError) in
      let (_, version) = try snapshot.resolveExpert(asked.expert)
      try snapshot.requireWhole(version)
      let result = Result(
        name: version.name, version: version.version, digest: version.digest,
        path: service.paths.store.path(version.blob), bytes: version.blob.bytes)
      return (version.blob, { reply.succeed(result, descriptor: asked.passFD ? $0 : nil) })
    }
  }
}

extension Service {
  /// A blob, and who is answered with it.
  typealias Handout = (blob: BlobReference, answer: @Sendable (FileDescriptor) -> Void)

  /// Gives a blob out whose bytes were found to be what was stored. Where they are not, the catalogue's thread looks at it,
  /// and `find` is asked once more: it may have been healed, or another one be served.
  func handOut<Value>(
    _ reply: Reply<Value>, isLast: Bool = false,
    _ find: @escaping @Sendable (Snapshot) throws(RPCError) -> Handout
  ) throws(RPCError) {
    let (blob, answer) = try find(snapshots.get())
    scrubber.open(blob) { [self] file in
      if let file { return answer(file) }
      onCatalogue(reply) { [self] coordinator throws(RPCError) in
        coordinator.examine(blob.file)
        guard !isLast else {
          _ = try find(coordinator.snapshot)
          throw RPCError(.internal, "a file of the store cannot be read: '\(blob.file)'", hint: "see: t2ctl status")
        }
        try handOut(reply, isLast: true, find)
      }
    }
  }
}
