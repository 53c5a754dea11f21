import Records
import Registry
import RPCProtocol
import RPCServer
import StrictJSON

extension ModelList: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let snapshot = service.snapshots.get()
    reply.succeed([
      "models": .array(snapshot.models.map { .object($0.json(experts: snapshot.experts(ofModel: $0.name))) })
    ])
  }
}

extension ModelShow: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let snapshot = service.snapshots.get()
    let name = asked.name
    guard let model = snapshot.model(name) else {
      throw RPCError(
        .unknownModel, "there is no model \(quoted(name))",
        hint: nearestName(to: name, among: snapshot.models.map(\.name)).map { "did you mean '\($0)'?" })
    }
    var row = model.fullJSON(experts: snapshot.experts(ofModel: model.name))
    if asked.matrices, let signature = model.signature {
      row["matrices"] = signature.json["matrices"]
    }
    reply.succeed(.object(row))
  }
}
