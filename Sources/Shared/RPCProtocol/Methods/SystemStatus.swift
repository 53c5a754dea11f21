package import Records

package enum SystemStatus: RPCMethodDeclaration {
  package static let name = "system.status"
  package static let access = RPCMethod.Access.read
  package static let verb = "status"
  package static let summary = "What runs, what is queued, what needs attention."

  package struct Parameters: Record {
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    package var version: String
    package var pid: Int
    package var uptimeSeconds: Double
    package var generation: Int64
    package var prefix: String
    package var socket: String
    package var spool: Spool
    package var sqlite: String
    package var models: Int
    package var experts: Int
    package var tasks: Int
    package var mixtures: Int
    package var jobs: Jobs
    package var running: [JobRow]
    package var queue: [JobRow]
    package var worker: Worker
    package var connections: Int
    package var memoryBytes: Int
    package var ingest: [IngestRow]
    /// How many dropped files are in each state.
    package var files: Files
    package var scrub: Scrub
    package var warnings: [Warning]
    /// Where a list above is cut: how many rows are not in it.
    package var leftOut: LeftOut?

    package init(
      version: String, pid: Int, uptimeSeconds: Double, generation: Int64, prefix: String, socket: String, spool: Spool,
      sqlite: String, models: Int, experts: Int, tasks: Int, mixtures: Int, jobs: Jobs, running: [JobRow],
      queue: [JobRow], worker: Worker, connections: Int, memoryBytes: Int, ingest: [IngestRow], files: Files,
      scrub: Scrub, warnings: [Warning], leftOut: LeftOut? = nil
    ) {
      self.leftOut = leftOut
      (self.version, self.pid, self.uptimeSeconds, self.generation, self.prefix, self.socket, self.spool, self.sqlite) =
        (version, pid, uptimeSeconds, generation, prefix, socket, spool, sqlite)
      (self.models, self.experts, self.tasks, self.mixtures, self.jobs, self.running, self.queue, self.worker) = (
        models, experts, tasks, mixtures, jobs, running, queue, worker
      )
      (self.files, self.scrub) = (files, scrub)
      (self.connections, self.memoryBytes, self.ingest, self.warnings) = (connections, memoryBytes, ingest, warnings)
    }
  }

  /// The slow reading of all stored files.
  package struct Scrub: Codable, Sendable, Equatable {
    /// That came to their end since the start.
    package var passes: Int
    /// When the last one did.
    @NullWhenAbsent package var last: String?
    /// That the last one has read.
    package var files: Int
    package var bytes: Int
    /// Stored files that are damaged now.
    package var damaged: Int

    package init(passes: Int, last: String?, files: Int, bytes: Int, damaged: Int) {
      (self.passes, self.files, self.bytes, self.damaged) = (passes, files, bytes, damaged)
      self.last = last
    }
  }

  package struct Files: Codable, Sendable, Equatable {
    package var accepted: Int
    package var duplicate: Int
    package var incomplete: Int
    package var rejected: Int
    package var ignored: Int
    package var waitingForModel: Int

    package init(accepted: Int, duplicate: Int, incomplete: Int, rejected: Int, ignored: Int, waitingForModel: Int) {
      (self.accepted, self.duplicate, self.incomplete, self.rejected, self.ignored, self.waitingForModel) = (
        accepted, duplicate, incomplete, rejected, ignored, waitingForModel
      )
    }
  }

  package struct LeftOut: Codable, Sendable, Equatable {
    package var queue: Int
    package var ingest: Int
    package var warnings: Int

    package init(queue: Int, ingest: Int, warnings: Int) {
      (self.queue, self.ingest, self.warnings) = (queue, ingest, warnings)
    }
  }

  package struct Jobs: Codable, Sendable, Equatable {
    package var queued: Int
    package var running: Int

    package init(queued: Int, running: Int) {
      (self.queued, self.running) = (queued, running)
    }
  }

  package struct Worker: Codable, Sendable, Equatable {
    /// `starting`, `ready` or `failed`.
    package var state: String
    package var restarts: Int
    package var pid: Int?
    package var cores: Int?
    package var blas: Kernels?
    /// Where programs of code rows are run.
    package var code: Code?
    package var memoryBytes: Int64?
    package var memoryLimitBytes: Int64?
    package var models: [Model]?
    /// Why the last one ended.
    package var problem: String?

    package init(
      state: String, restarts: Int, pid: Int? = nil, cores: Int? = nil, blas: Kernels? = nil, code: Code? = nil,
      memoryBytes: Int64? = nil, memoryLimitBytes: Int64? = nil, models: [Model]? = nil, problem: String? = nil
    ) {
      (self.state, self.restarts, self.pid, self.cores, self.blas, self.code, self.memoryBytes, self.memoryLimitBytes) =
        (state, restarts, pid, cores, blas, code, memoryBytes, memoryLimitBytes)
      (self.models, self.problem) = (models, problem)
    }
  }

  /// OpenBLAS's.
  package struct Kernels: Codable, Sendable, Equatable {
    package var running: String
    package var deserved: String
    package var tooOld: Bool

    package init(running: String, deserved: String, tooOld: Bool) {
      (self.running, self.deserved, self.tooOld) = (running, deserved, tooOld)
    }
  }

  package struct Code: Codable, Sendable, Equatable {
    package var protections: [String]
    package var problem: String?

    package init(protections: [String], problem: String? = nil) {
      (self.protections, self.problem) = (protections, problem)
    }
  }

  package struct Model: Codable, Sendable, Equatable {
    package var path: String
    package var bytes: Int64

    package init(path: String, bytes: Int64) {
      (self.path, self.bytes) = (path, bytes)
    }
  }

  package struct Warning: Codable, Sendable, Equatable {
    package var code: String
    package var message: String
    package var help: String

    package init(code: String, message: String, help: String) {
      (self.code, self.message, self.help) = (code, message, help)
    }
  }
}
