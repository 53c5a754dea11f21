import Registry
import RPCProtocol
import RPCServer
import SystemSupport

extension JobList: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let state = asked.state
    let start = try Page(asked.page)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      var page = start
      let jobs = try page.wanted().map { (before, limit) throws(RPCError) in
        try answering { () throws(RegistryError) in
          try coordinator.catalogue.jobs(state: state, before: before, limit: limit)
        }
      }
      let rows = try page.rows(of: jobs ?? [], by: { [.newest($0.id)] }) {
        $0.row(coordinator.board.progress(of: $0.id))
      }
      reply.succeed(Result(jobs: rows, next: page.next))
    }
  }
}

extension JobShow: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let id = asked.job
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let job = try answering { () throws(RegistryError) in try coordinator.catalogue.job(id) }
      reply.succeed(job.shown(coordinator.board.progress(of: id)))
    }
  }
}

extension JobWait: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let id = asked.job
    let deadline = Deadline.after(.milliseconds(asked.timeout))
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      try answering { () throws(RegistryError) in try coordinator.jobs.wait(for: id, reply, until: deadline) }
    }
  }
}

extension JobCancel: HandledMethod {
  /// Twice, or after its end, is no error: the answer says what the job is.
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let id = asked.job
    let who = Service.who(reply)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let job = try answering { () throws(RegistryError) in
        _ = try coordinator.catalogue.job(id)
        try coordinator.jobs.cancel(id, reason: "cancelled by \(who)")
        return try coordinator.catalogue.job(id)
      }
      reply.succeed(Result(job: id, state: job.state))
    }
  }
}
