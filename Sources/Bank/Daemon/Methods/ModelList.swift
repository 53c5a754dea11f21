import Records
import Registry
import RPCProtocol
import StrictJSON

extension ModelList: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let snapshot = service.snapshots.get()
    var page = try Page(asked.page)
    let models = try page.rows(of: snapshot.models, by: { [.name($0.name)] }) {
      $0.row(experts: snapshot.experts(ofModel: $0.name))
    }
    reply.succeed(Result(models: models, next: page.next))
  }
}

extension ModelShow: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let snapshot = service.snapshots.get()
    let model = try snapshot.registeredModel(asked.name)
    let facts = model.facts.map {
      Facts(
        modelID: $0.modelID, hidden: $0.hidden, vocabulary: $0.vocabulary, hasTokenizer: $0.hasTokenizer,
        chatTemplate: $0.chatTemplate, chatTemplateProblem: $0.chatTemplateProblem, targetMatrices: $0.targets.count,
        factoredMatrices: $0.targets.count(where: \.isFactored),
        factorization: Factorization(seconds: $0.factorizationSeconds), computedBy: $0.computedBy)
    }
    reply.succeed(
      Result(
        row: model.row(experts: snapshot.experts(ofModel: model.name)), facts: facts, added: model.added.description,
        addedBy: model.addedBy,
        replicas: service.board.worker.memory?.models.first { sameName($0.path, model.path) }?.replicas,
        matrices: asked.matrices
          ? model.signature?.layout.matrices.map {
            Matrix(
              name: $0.name, rows: $0.rows, columns: $0.columns, layer: $0.layer,
              factored: $0.isFactored ? nil : false)
          } : nil))
  }
}
