import Experts
import ModelFormats
import RPCProtocol
import Records
import SystemSupport

extension ModelAdd: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let path = try absolute(asked.path)
    let name = asked.name ?? modelName(path)
    guard ExpertName.isValid(name) else {
      throw RPCError(
        .invalidParams, "\(quoted(name)) is no name for a model",
        hint: "a name is \(ExpertName.rule); give one with --name")
    }
    let (who, modules) = (Service.who(reply), asked.modules)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let (model, job) = try coordinator.addModel(name: name, path: path, modules: modules, who: who)
      reply.succeed(Result(name: model.name, path: model.path, state: model.state.rawValue, job: job))
    }
  }

  static func absolute(_ path: String) throws(RPCError) -> String {
    guard path.hasPrefix("/") else {
      throw RPCError(.invalidParams, "'path' is \(quoted(path)), and must be an absolute path")
    }
    return path
  }

  /// `/models/SmolLM2.Q4_1.gguf` is `SmolLM2.Q4_1`, and so is a part of it.
  private static func modelName(_ path: String) -> String {
    let name = FileSystem.split(path).name
    if let part = GGUFPartName(name) { return part.stem }
    return name.hasSuffix(".gguf") ? String(name.dropLast(5)) : name
  }
}
