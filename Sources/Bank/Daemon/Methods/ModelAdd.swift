import Experts
import ModelFormats
import RPCProtocol
import Records
import Settings
import SystemSupport

extension ModelAdd: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let (path, name) = try place(asked)
    guard ExpertName.isValid(name) else {
      throw RPCError(
        .invalidParams, "\(quoted(name)) is no name for a model",
        hint: "a name is \(ExpertName.rule); give one with --name")
    }
    let (who, modules, engine) = (Service.who(reply), asked.modules, asked.engine)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let (model, job) = try coordinator.addModel(
        name: name, path: path, engine: engine, modules: modules, who: who)
      reply.succeed(Result(name: model.name, path: model.path, state: model.state.rawValue, job: job))
    }
  }

  /// Where it is, and what it is to be called.
  private static func place(_ asked: Parameters) throws(RPCError) -> (path: String, name: String) {
    guard let engine = asked.engine else {
      guard asked.at == nil else {
        throw RPCError(
          .invalidParams, "'at' says where an engine listens, and no 'engine' is given",
          hint: "say which one it is: \(EngineKind.allCases.map(\.rawValue).joined(separator: " or "))")
      }
      guard let given = asked.path else {
        throw RPCError(
          .invalidParams, "neither 'path' nor 'engine' and 'at' is given",
          hint: "give the path of a model, or say which engine computes it and where that listens")
      }
      let path = try absolute(given)
      return (path, asked.name ?? modelName(path))
    }
    guard let at = asked.at else {
      throw RPCError(
        .invalidParams, "'at' is missing: where the engine \(engine.rawValue) listens",
        hint: "as unix:/run/t2-engine/0.sock, or http://127.0.0.1:PORT")
    }
    guard asked.path == nil, asked.modules.isEmpty else {
      throw RPCError(
        .invalidParams,
        "'\(asked.path == nil ? "modules" : "path")' is for a model that t2d reads itself, and '\(engine.rawValue)' "
          + "has read this one", hint: "the engine decides what it loads: leave it out")
    }
    guard let name = asked.name else {
      throw RPCError(
        .invalidParams, "'name' is missing: a model that an engine computes has no file to be named after",
        hint: "give one with --name")
    }
    return (at.text, name)
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
