import Registry
import RPCProtocol
import RPCServer
import StrictJSON

extension Service {
  static let modelList: Handler = { (service, params, reply) throws(RPCError) in
    let snapshot = service.snapshots.get()
    reply.succeed([
      "models": .array(snapshot.models.map { .object($0.json(experts: snapshot.experts(ofModel: $0.name))) })
    ])
  }

  static let modelShow: Handler = { (service, params, reply) throws(RPCError) in
    let snapshot = service.snapshots.get()
    let name = params["name"]?.stringValue ?? ""
    guard let model = snapshot.model(name) else {
      throw RPCError(
        .unknownModel, "there is no model \(quoted(name))",
        hint: nearestName(to: name, among: snapshot.models.map(\.name)).map { "did you mean '\($0)'?" })
    }
    var row = model.fullJSON(experts: snapshot.experts(ofModel: model.name))
    if params["matrices"]?.boolValue == true, let signature = model.signature {
      row["matrices"] = signature.json["matrices"]
    }
    reply.succeed(.object(row))
  }
}
