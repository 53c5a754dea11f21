package import Records
package import Results

/// Sorts labelled prompts by one or several dispatches, side by side.
package struct DispatchEvaluateSpec: JobSpec {
  package typealias Result = DispatchEvaluateResult

  package struct Row: WorkerMessage {
    package var line: Int
    package var prompt: String
    package var label: String
    package init(line: Int, prompt: String, label: String) {
      self.line = line
      self.prompt = prompt
      self.label = label
    }
  }

  package struct Strategy: WorkerMessage {
    /// `prompt` or `classifier`.
    package var name: String
    package var dispatch: DispatchSpec
    package init(name: String, dispatch: DispatchSpec) {
      self.name = name
      self.dispatch = dispatch
    }
  }

  @Setting() package var model: ModelReference
  @Setting() package var rows: [Row]
  @Setting() package var strategies: [Strategy]

  package init() {}

  package init(model: ModelReference, rows: [Row], strategies: [Strategy]) {
    self.model = model
    self.rows = rows
    self.strategies = strategies
  }
}
