import Experts
import RPCProtocol
import RPCServer
import StrictJSON
import SystemSupport

extension Service {
  static let modelAdd: Handler = { (service, params, reply) throws(RPCError) in
    let path = params["path"]?.stringValue ?? ""
    guard path.hasPrefix("/") else {
      throw RPCError(.invalidParams, "'path' is \(quoted(path)), and must be absolute")
    }
    let name = params["name"]?.stringValue ?? modelName(path)
    guard ExpertName.isValid(name) else {
      throw RPCError(
        .invalidParams, "\(quoted(name)) is no name for a model",
        hint: "a name is \(ExpertName.rule); give one with --name")
    }
    let who = Service.who(reply)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let (model, job) = try coordinator.addModel(name: name, path: path, who: who)
      var result: JSONObject = [
        "name": .string(model.name), "path": .string(model.path), "state": .string(model.state.rawValue),
      ]
      if let job { result["job"] = .integer(job) }
      reply.succeed(.object(result))
    }
  }

  /// `/models/SmolLM2.Q4_1.gguf` is `SmolLM2.Q4_1`.
  private static func modelName(_ path: String) -> String {
    let name = FileSystem.split(path).name
    return name.hasSuffix(".gguf") ? String(name.dropLast(5)) : name
  }
}
