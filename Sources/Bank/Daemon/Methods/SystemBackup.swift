import Glibc
import Registry
import RPCProtocol
import StrictJSON
import SystemSupport

extension SystemBackup: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let catalogue = service.catalogue
    try Service.passedFile(reply).use { descriptor in
      do throws(RPCError) {
        // The thread for this user's files is not kept for as long as a backup takes.
        let archive = try archive(descriptor)
        service.onCatalogue(reply) { coordinator throws(RPCError) in
          try coordinator.backUp(to: archive, called: asked.path, reply) { catalogue.post($0) }
        }
      } catch {
        reply.fail(error)
      }
    }
  }

  private static func archive(_ passed: FileDescriptor) throws(RPCError) -> FileDescriptor {
    let (status, flags, own): (FileStatus, Int32, FileDescriptor)
    do throws(SystemCallError) {
      status = try passed.status()
      flags = try systemCall("read the flags of the file") { fcntl(passed.number, F_GETFL) }
      own = try passed.duplicate()
    } catch {
      throw RPCError(.fileNotWritable, "the file that was passed cannot be used: \(error)")
    }
    guard status.kind == .regular else {
      throw RPCError(.fileNotWritable, "what was passed is \(status.kind.phrase), and must be a regular file")
    }
    guard status.size == 0 else {
      throw RPCError(
        .fileNotWritable, "the file that was passed has \(status.size) bytes already, and nothing is overwritten",
        hint: "pass a new file")
    }
    guard flags & O_ACCMODE != O_RDONLY, flags & O_APPEND == 0 else {
      throw RPCError(
        .fileNotWritable,
        "the file that was passed is open for \(flags & O_APPEND == 0 ? "reading" : "appending") only",
        hint: "open it for writing")
    }
    return own
  }
}

/// A backup that is being written, on a thread of its own.
final class RunningBackup: Sendable {
  private let stopped = Mutex(false)
  private let done: Mailbox<Void>
  private let reply: Reply<SystemBackup.Result>

  init(_ reply: Reply<SystemBackup.Result>) throws(SystemCallError) {
    done = try Mailbox()
    self.reply = reply
  }

  /// Nobody waits for it any more, or the daemon ends.
  var isStopped: Bool { stopped.withLock { $0 } || !reply.isConnected }

  func stop(_ error: RPCError) {
    stopped.withLock { $0 = true }
    reply.fail(error)
  }

  func ended() { done.close() }

  /// For a moment: a file system may hang, and then the process ends without its thread.
  func waitForEnd() { done.wait(until: .after(.milliseconds(500))) }
}

extension Coordinator {
  /// Begins a backup as of now; `post` brings its end back to this thread.
  func backUp(
    to archive: FileDescriptor, called path: String, _ reply: Reply<SystemBackup.Result>,
    _ post: @escaping @Sendable (@escaping CatalogueThread.Work) -> Void
  ) throws(RPCError) {
    guard backup == nil else {
      throw RPCError(.conflict, "a backup is being written already", hint: "wait until it has ended")
    }
    let copy = store.stagingPath("backup")
    let who = Service.who(reply)
    do throws(RegistryError) {
      let planned = try StoreBackup(of: catalogue, copy: copy, now: .now)
      do throws(SystemCallError) {
        let running = try RunningBackup(reply)
        _ = try OwnedThread(name: "backup") {
          let result = Result { () throws(StoreBackup.Failure) in
            try planned.write(to: archive) { !running.isStopped }
          }
          _ = try? FileSystem.remove(copy)
          try? archive.close()
          running.ended()
          post { $0.backupEnded(planned, result, called: path, who, reply) }
        }
        backup = running
      } catch {
        throw .files(error)
      }
    } catch {
      _ = try? FileSystem.remove(copy)
      throw RPCError(error)
    }
    log.notice("a backup is begun", ["file": path, "who": who])
  }

  private func backupEnded(
    _ planned: StoreBackup, _ result: Swift.Result<StoreBackup.Written, StoreBackup.Failure>, called path: String,
    _ who: String, _ reply: Reply<SystemBackup.Result>
  ) {
    backup = nil
    switch result {
    case .success(let written):
      for damaged in written.damaged {
        // A task's copy is looked at as a whole.
        suspect(
          damaged.path.split(separator: "/").prefix(damaged.path.hasPrefix("tasks/") ? 4 : 3).joined(separator: "/"))
      }
      log.notice("a backup was written", ["file": path, "files": written.files, "bytes": written.bytes])
      writer.note(
        "store.backed_up", "store",
        [
          "file": .string(path), "files": JSONValue(written.files), "bytes": JSONValue(written.bytes),
          "last_event": .integer(planned.event), "damaged": JSONValue(written.damaged.count), "who": .string(who),
        ])
      reply.succeed(
        SystemBackup.Result(
          path: path, files: written.files, bytes: written.bytes, event: planned.event,
          damaged: written.damaged.map { .init(path: $0.path, subject: $0.subject, message: $0.message) }))
    case .failure(let failure):
      let error: RPCError =
        switch failure {
        case .archive(let error): RPCError(.fileNotWritable, "the backup '\(path)' was not written: \(error)")
        case .store(let error): RPCError(.internal, "the backup '\(path)' was not written: \(error)")
        case .stopped: RPCError(.cancelled, "the backup '\(path)' was given up")
        }
      log.notice("a backup was not written", ["file": path, "reason": error.message])
      reply.fail(error)
    }
  }
}
