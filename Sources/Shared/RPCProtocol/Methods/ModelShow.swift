package import Records
package import StrictJSON

package enum ModelShow: RPCMethodDeclaration {
  package static let name = "model.show"
  package static let access = RPCMethod.Access.read
  package static let verb = "model show"
  package static let summary = "One model with all that is known of it."
  package static let resultSummary =
    "as in model.list, and model_id, tokenizer, chat_template, target_matrices, factorization, added; where asked "
    + "for, matrices [{name, rows, columns, layer}]"

  package struct Parameters: Record {
    @Setting("the model's name") package var name: String
    @Setting("list the target matrices in the model's order") package var matrices = false
    package init() {}
  }

  package typealias Result = JSONValue
}
