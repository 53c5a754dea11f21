package import Records

package enum ModelTokenize: RPCMethodDeclaration {
  package static let name = "model.tokenize"
  package static let access = RPCMethod.Access.read
  package static let verb = "tokenize"
  package static let summary = "The token ids of a text as it is: no template, no added tokens."

  package struct Parameters: Record {
    @Setting("the text") package var text: String
    @Setting(modelSummary) package var model: String?
    @Setting("recognise the text of special tokens") package var special = false
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    package var ids: [Int32]

    package init(ids: [Int32]) {
      self.ids = ids
    }
  }
}
