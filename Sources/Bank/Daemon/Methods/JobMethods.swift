import Registry
import RPCProtocol
import RPCServer
import StrictJSON
import SystemSupport

extension Service {
  static let jobList: Handler = { (service, params, reply) throws(RPCError) in
    let state = params["state"]?.stringValue.flatMap { JobState(rawValue: $0) }
    let limit = Int(params["limit"]?.integerValue ?? 50)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let jobs = try answering { () throws(RegistryError) in try coordinator.catalogue.jobs(state: state, limit: limit)
      }
      reply.succeed([
        "jobs": .array(jobs.map { .object($0.json(coordinator.board.progress(of: $0.id), full: false)) })
      ])
    }
  }

  static let jobShow: Handler = { (service, params, reply) throws(RPCError) in
    let id = params["job"]?.integerValue ?? 0
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let job = try answering { () throws(RegistryError) in try coordinator.catalogue.job(id) }
      reply.succeed(.object(job.json(coordinator.board.progress(of: id), full: true)))
    }
  }

  static let jobWait: Handler = { (service, params, reply) throws(RPCError) in
    let id = params["job"]?.integerValue ?? 0
    let deadline = Deadline.after(.milliseconds(params["timeout_ms"]?.integerValue ?? 60_000))
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      try answering { () throws(RegistryError) in try coordinator.jobs.wait(for: id, reply, until: deadline) }
    }
  }

  /// Twice, or after its end, is no error: the answer says what the job is.
  static let jobCancel: Handler = { (service, params, reply) throws(RPCError) in
    let id = params["job"]?.integerValue ?? 0
    let who = Service.who(reply)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let job = try answering { () throws(RegistryError) in
        _ = try coordinator.catalogue.job(id)
        try coordinator.jobs.cancel(id, reason: "cancelled by \(who)")
        return try coordinator.catalogue.job(id)
      }
      reply.succeed(["job": .integer(id), "state": .string(job.state.rawValue)])
    }
  }
}
