package import Records

package enum TaskRegister: RPCMethodDeclaration {
  package static let name = "task.register"
  package static let access = RPCMethod.Access.change
  package static let verb = "task register"
  package static let summary =
    "Binds a task whose files lie in the watched directory to a model, and queues its adaptation."

  package struct Parameters: Record {
    @Setting("its name") package var task: String
    @Setting("the only model to adapt it on; default every model with experts") package var model: String?
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    @Flattened package var row: TaskRow
    @NullWhenAbsent package var model: String?

    package init(row: TaskRow, model: String? = nil) {
      self.row = row
      self.model = model
    }
  }
}
