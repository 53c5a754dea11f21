package import Records
package import Results
package import StrictJSON

package enum MixtureExport: RPCMethodDeclaration {
  package static let name = "mixture.export"
  package static let since = 5
  package static let access = RPCMethod.Access.read
  package static let verb = "mixture export"
  package static let summary =
    "A mixture or an expert as an adapter in PEFT's layout: the container of s − 1 for an engine with t2d's extension, or with "
    + "'rank' a LoRA for any server, which misses what its rank does not hold."
  package static let resultNotes =
    "bytes are those of adapter_model.safetensors, whose open descriptor comes along with pass_fd (SCM_RIGHTS); configuration "
    + "is what adapter_config.json is to hold; generation is there where the name is a task's; fit is there with rank: relative_error is ‖W' − W − B A‖ / ‖W' − W‖ over all "
    + "matrices, energy_mean and energy_least the share of its square that is kept, by matrix"

  package struct Parameters: Record {
    @Setting("TASK[@GENERATION], else EXPERT[@VERSION]; expert:NAME[@VERSION]; or a mixture, NAME[@VERSION]=WEIGHT+...")
    package var name: String
    @Setting(modelSummary) package var model: String?
    @Setting("make a LoRA of this rank; default the container, which is exact", 1...4096) package var rank: Int?
    @Setting("send the open weights along (SCM_RIGHTS)") package var passFD = false
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    package var name: String
    package var model: String
    package var digest: String
    package var generation: Int64?
    package var bytes: Int
    package var configuration: JSONObject
    package var fit: LowRankFit?
    package var warnings: [String]?

    package init(
      name: String, model: String, digest: String, generation: Int64?, bytes: Int, configuration: JSONObject,
      fit: LowRankFit?, warnings: [String]
    ) {
      (self.name, self.model, self.digest, self.generation) = (name, model, digest, generation)
      (self.bytes, self.configuration, self.fit) = (bytes, configuration, fit)
      self.warnings = warnings.isEmpty ? nil : warnings
    }
  }
}
