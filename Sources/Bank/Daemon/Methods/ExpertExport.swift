import Registry
import RPCProtocol
import SystemSupport

extension ExpertExport: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let (_, version) = try service.snapshots.get().resolveExpert(asked.expert)
    let path = service.paths.store.path(version.blob)
    let result = Result(
      name: version.name, version: version.version, digest: version.digest, path: path, bytes: version.blob.bytes)
    let descriptor = asked.passFD ? try Service.openBlob(path) : nil
    reply.succeed(result, descriptor: descriptor)
  }
}

extension Service {
  /// A file of the store for a client that may not look into the directory.
  static func openBlob(_ path: String) throws(RPCError) -> FileDescriptor {
    do throws(SystemCallError) { return try FileDescriptor.open(path) } catch {
      throw RPCError(.internal, "a file of the store cannot be opened: \(error)", hint: "see: t2ctl status")
    }
  }
}
