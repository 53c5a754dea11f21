import Multipliers
import Records
import Results
import StrictJSON
import WorkerProtocol

// What columns hold as JSON has types of its own: what the worker says may change from build to build, what is stored is
// read by every later version. A member that comes later is added here with a default, which is what it was before it
// came. A form that older versions must not read as theirs gets a new number.

/// A record with the number of its form; one without a number is of form 1, as t2d 0.1 wrote them all.
protocol StoredRecord: Record {
  static var newestForm: Int { get }
  var version: Int { get set }
}

/// Of a model that is ready.
struct StoredModelFacts: StoredRecord {
  static let newestForm = 1

  struct Target: Record {
    @Setting() var name: String
    @Setting("outputs", 1...Int.max) var rows: Int
    @Setting("inputs", 1...Int.max) var columns: Int
    @Setting() var layer: Int?
    /// False where it is not.
    @Setting() var factored: Bool?
    init() {}
  }

  @Setting var version = newestForm
  // What experts are validated against: there are no facts without it.
  @Setting() var digest: String
  @Setting(name: "arch") var architecture: String
  @Setting() var targets: [Target]
  // What describes it.
  @Setting var modelID = ""
  @Setting var parameters: Int64 = 0
  @Setting var layers = 0
  @Setting var hidden = 0
  @Setting var vocabulary = 0
  @Setting var contextLength = 0
  @Setting var quantization = ""
  /// A model without one is found out by its worker, which says so.
  @Setting(name: "tokenizer") var hasTokenizer = true
  @Setting() var chatTemplate: String?
  @Setting() var chatTemplateProblem: String?
  @Setting var warnings: [String] = []
  @Setting var factorizationSeconds = 0.0
  /// None before there were others than the built-in one.
  @Setting() var computedBy: String?

  init() {}

  init(_ facts: ModelFacts) {
    digest = facts.digest
    architecture = facts.architecture
    targets = facts.targets.map {
      var target = Target()
      (target.name, target.rows, target.columns, target.layer) = ($0.name, $0.rows, $0.columns, $0.layer)
      if !$0.isFactored { target.factored = false }
      return target
    }
    modelID = facts.modelID
    parameters = facts.parameters
    layers = facts.layers
    hidden = facts.hidden
    vocabulary = facts.vocabulary
    contextLength = facts.contextLength
    quantization = facts.quantization
    hasTokenizer = facts.hasTokenizer
    chatTemplate = facts.chatTemplate
    chatTemplateProblem = facts.chatTemplateProblem
    warnings = facts.warnings ?? []
    factorizationSeconds = facts.factorizationSeconds
    computedBy = facts.computedBy
  }

  var facts: ModelFacts {
    ModelFacts(
      digest: digest, modelID: modelID, architecture: architecture, parameters: parameters, layers: layers,
      hidden: hidden, vocabulary: vocabulary, contextLength: contextLength, quantization: quantization,
      hasTokenizer: hasTokenizer, chatTemplate: chatTemplate, chatTemplateProblem: chatTemplateProblem,
      warnings: warnings,
      targets: targets.map {
        TargetMatrix(
          name: $0.name, rows: $0.rows, columns: $0.columns, layer: $0.layer, isFactored: $0.factored ?? true)
      },
      factorizationSeconds: factorizationSeconds, computedBy: computedBy)
  }
}

/// Of a job: the number of its form beside the members of its kind's spec. The specs themselves are records, each of which
/// says what holds for a member that it did not have when the job was queued.
struct StoredJobSpec {
  static let newestForm = 1
  private static let versionName = "version"

  var spec: JSONValue

  init(_ spec: JSONValue) { self.spec = spec }

  init(stored json: JSONValue) throws(RegistryError) {
    try checkForm(json, known: Self.newestForm, table: "jobs")
    spec = json
    guard case .object(var members) = json else { return }
    members[Self.versionName] = nil
    spec = .object(members)
  }

  var stored: JSONValue {
    guard case .object(var members) = spec else { return spec }
    members[Self.versionName] = JSONValue(Self.newestForm)
    return .object(members)
  }
}

/// Before anything else of it is read: what a newer t2d wrote is nothing that is damaged.
private func checkForm(_ json: JSONValue, known: Int, table: String) throws(RegistryError) {
  guard let version = json["version"], !version.isNull else { return }
  guard let number = version.intValue, number >= 1 else {
    throw .damagedRow(table: table, problem: "'version' must be a number from 1, and is \(version.asFound)")
  }
  guard number <= known else { throw .newerRow(table: table, found: number, known: known) }
}

extension Catalogue {
  /// What a search found is kept as it is shown: a member that comes later is optional there.
  func storedMixture(_ text: String) throws(RegistryError) -> Mixture {
    var json = try storedJSON(text, table: "mixtures")
    // As t2d 0.1 spelled it.
    if var search = json["search"]?.objectValue, let isNormalized = search["normalised"], var members = json.objectValue
    {
      search["normalized"] = isNormalized
      members["search"] = .object(search)
      json = .object(members)
    }
    return try read(json, table: "mixtures")
  }

  /// What is kept as it is shown.
  func stored<Value: Decodable>(_ text: String, table: String) throws(RegistryError) -> Value {
    try read(try storedJSON(text, table: table), table: table)
  }

  private func read<Value: Decodable>(_ json: JSONValue, table: String) throws(RegistryError) -> Value {
    do throws(RecordError) {
      return try RecordReader(unknownMembers: .ignored).read(json)
    } catch {
      throw .damagedRow(table: table, problem: error.description)
    }
  }

  func stored<R: StoredRecord>(
    _ text: String, table: String, as type: R.Type
  ) throws(RegistryError) -> R {
    let json = try storedJSON(text, table: table)
    try checkForm(json, known: R.newestForm, table: table)
    return try read(json, table: table)
  }
}
