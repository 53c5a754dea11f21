package import Records
package import Results
import Settings

package enum ModelPlan: RPCMethodDeclaration {
  package static let name = "model.plan"
  package static let since = 4
  package static let access = RPCMethod.Access.change
  package static let verb = "model add"
  package static let summary =
    "What a model would need of memory, by part, and what the worker may have; adds nothing. Sizes in bytes."
  package static let resultNotes =
    "problem where it cannot be loaded; advice where something is to be set so that all of it fits"

  package struct Parameters: Record {
    @Setting(
      "absolute path of a .gguf file, of a Hugging Face directory, or of a config.json alone, readable by the daemon")
    package var path: String
    @Setting("with only these matrices factored: \(moduleNames); default all") package var modules: [String] = []
    package init() {}
  }

  package typealias Result = MemoryPlan
}
