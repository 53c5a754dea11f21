import Registry
import RPCProtocol
import RPCServer
import StrictJSON
import SystemSupport

extension Service {
  static let expertExport: Handler = { (service, params, reply) throws(RPCError) in
    let (_, version) = try service.snapshots.get().resolveExpert(params["expert"]?.stringValue ?? "")
    let path = service.paths.store.path(version.blob)
    let result: JSONValue = [
      "name": .string(version.name), "version": JSONValue(version.version), "digest": .string(version.digest),
      "path": .string(path), "bytes": JSONValue(version.blob.bytes),
    ]
    let descriptor = params["pass_fd"]?.boolValue == true ? try openBlob(path) : nil
    reply.succeed(raw: result.serialized(), descriptor: descriptor)
  }

  /// A file of the store for a client that may not look into the directory.
  static func openBlob(_ path: String) throws(RPCError) -> FileDescriptor {
    do throws(SystemCallError) { return try FileDescriptor.open(path) } catch {
      throw RPCError(.internal, "a file of the store cannot be opened: \(error)", hint: "see: t2ctl status")
    }
  }
}
