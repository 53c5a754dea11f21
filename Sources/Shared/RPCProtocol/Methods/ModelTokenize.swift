package import Records
package import StrictJSON

package enum ModelTokenize: RPCMethodDeclaration {
  package static let name = "model.tokenize"
  package static let access = RPCMethod.Access.read
  package static let verb = "tokenize"
  package static let summary = "The token ids of a text as it is: no template, no added tokens."
  package static let resultSummary = "ids"

  package struct Parameters: Record {
    @Setting("the text") package var text: String
    @Setting(modelSummary) package var model: String?
    @Setting("recognise the text of special tokens") package var special = false
    package init() {}
  }

  package typealias Result = JSONValue
}
