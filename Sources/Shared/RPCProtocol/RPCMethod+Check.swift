import Records
package import StrictJSON

extension RPCMethod {
  /// Refuses what the table does not know, lacks what it needs, or has another type.
  package func check(_ params: JSONObject) throws(RPCError) {
    for (key, value) in params.members {
      guard let parameter = parameters.first(where: { $0.isCalled(key) }) else {
        let names = parameters.map(\.name)
        let near = key.utf8.count <= 64 ? nearestName(to: key, among: names) : nil
        throw RPCError(
          .invalidParams, "\(name) has no parameter \(quoted(key))",
          hint: near.map { "did you mean '\($0)'?" }
            ?? (names.isEmpty ? "it takes none" : "it takes \(names.joined(separator: ", "))"))
      }
      if let problem = parameter.type.problem(with: value) {
        throw RPCError(.invalidParams, "\(name): '\(parameter.name)' \(problem)", hint: parameter.summaryWithDefault)
      }
    }
    for parameter in parameters where parameter.isRequired && params[parameter.name] == nil {
      throw RPCError(.invalidParams, "\(name) needs '\(parameter.name)'", hint: parameter.summary)
    }
  }
}
