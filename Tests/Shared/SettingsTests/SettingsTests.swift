import Multipliers
import Records
import Settings
import StrictJSON
import Testing

private let reader = RecordReader(unknownMembers: .refused)

private func search(_ text: String, over base: SearchSettings = SearchSettings()) throws -> SearchSettings {
  try reader.read(parseJSON(text), over: base)
}

@Suite struct SearchSettingsTests {
  @Test func theDefaultsAreThePapers() {
    let settings = SearchSettings()
    #expect(settings.method == .standard && settings.population == 32 && settings.elites == 6)
    #expect(settings.iterations == 100 && settings.lower == 0 && settings.upper == 1)
    #expect(settings.granularities == [.vector] && settings.objective == .accuracy)
  }

  @Test func anotherPopulationHasAFifthOfElites() throws {
    #expect(try search(#"{"population": 64}"#).elites == 12)
    #expect(try search(#"{"population": 4}"#).elites == 2)
    #expect(try search(#"{"population": 64, "elites": 3}"#).elites == 3)
  }

  @Test func aShareOfElitesHoldsForALaterPopulationToo() throws {
    let task = try search(#"{"elite": 0.5}"#)
    #expect(task.elites == 16)
    #expect(try search(#"{"population": 10}"#, over: task).elites == 5)
    #expect(try search(#"{"population": 10, "elites": 2}"#, over: task).elites == 2)
  }

  @Test func theLaterGranularityWins() throws {
    let several = try search(#"{"granularities": ["vector", "layer"]}"#)
    #expect(several.granularities == [.vector, .layer])
    let one = try search(#"{"granularity": "matrix"}"#, over: several)
    #expect(one.granularities == [.matrix])
    #expect(try search(#"{"granularities": ["layer"]}"#, over: one).granularities == [.layer])
  }

  @Test func aTasksFormsOfRangeAndBudgetAreRead() throws {
    let settings = try search(#"{"range": [-1, 2], "budget": {"prompts": 500, "seconds": 1.5}, "normalised": true}"#)
    #expect(settings.lower == -1 && settings.upper == 2 && settings.isNormalized)
    #expect(settings.budgetPrompts == 500 && settings.budgetSeconds == 1.5)
    #expect(try search(#"{"prompt_budget": 7}"#).budgetPrompts == 7)
  }

  /// A task's range and budget, another one that is asked for, and then the way to the worker.
  @Test func whatIsAskedForIsNotUndoneByTheTasksSpelling() throws {
    let task = try search(#"{"range": [-1, 2], "budget": {"prompts": 500, "seconds": 1.5}, "granularity": "layer"}"#)
    let asked = try search(#"{"lower": 0, "budget_prompts": 7, "granularities": ["matrix"]}"#, over: task)
    #expect(asked.lower == 0 && asked.upper == 2 && asked.budgetPrompts == 7 && asked.budgetSeconds == 1.5)
    let sent: SearchSettings = try reader.read(RecordWriter.json(asked))
    #expect(sent == asked && sent.lower == 0 && sent.budgetPrompts == 7 && sent.granularities == [.matrix])
    let kept = try search(#"{}"#, over: task)
    let again: SearchSettings = try reader.read(RecordWriter.json(kept))
    #expect(again.lower == -1 && again.budgetPrompts == 500 && again.granularities == [.layer])
  }

  @Test func whatContradictsItselfIsRefused() throws {
    for (text, problem) in [
      (#"{"lower": 2}"#, "'lower' is 2.0, not below 'upper', 1.0"),
      (#"{"range": [1, 1]}"#, "'range' must be [low, high], low below high"),
      (#"{"elites": 40}"#, "'elites' is 40, of a population of 32"),
      (#"{"granularities": []}"#, "'granularities' is an empty list"),
    ] {
      let error = #expect(throws: RecordError.self) { try search(text) }
      #expect(error?.description == problem)
    }
  }
}

@Suite struct TrainingSettingsTests {
  @Test func whatAnEarlierVersionStoredIsRead() throws {
    let stored = try parseJSON(
      #"{"method":"svf","objective":"next-token","steps":7,"batch":2,"learning_rate":0.5,"warm_up":0,"clip":0.001,"#
        + #""weight_decay":0,"kl":[0,0.1],"kl_direction":"reference","samples":4,"temperature":1,"baseline":"group","#
        + #""seed":3,"validation_rows":5,"validate_every":10,"patience":5,"modules":["mlp"],"layers":[0,9],"top":4,"#
        + #""param_space":"logit","rows":9}"#)
    let settings: TrainingSettings = try reader.read(stored)
    #expect(settings.objective == .nextToken && settings.layers?.range == 0...9 && settings.top == 4)
    #expect(settings.divergenceWeights == [0, 0.1] && settings.divergenceDirection == .reference)
    #expect(settings.parameterSpace == .logit && settings.baseline == .group && settings.rank == nil)
    #expect(try reader.read(RecordWriter.json(settings)) == settings)
    #expect(RecordWriter.json(settings)["layers"] == "0-9")
  }

  @Test func componentsAreChosenInOneWay() throws {
    func settings(_ text: String) throws -> TrainingSettings { try reader.read(try parseJSON(text)) }
    let own = try settings(#"{"components": 8}"#)
    #expect(own.chosenComponents == 8 && own.largestComponents == nil)
    let largest = try settings(#"{"components": 8, "components_by": "largest"}"#)
    #expect(largest.chosenComponents == nil && largest.largestComponents == 8)
    #expect(try settings(#"{"top": 8}"#).largestComponents == 8)
    let both = try settings(#"{"top": 64, "components": 8, "components_by": "training"}"#)
    #expect(both.chosenComponents == 8 && both.largestComponents == 64)
    for (text, problem) in [
      (#"{"components_by": "training"}"#, "there is no 'components'"),
      (#"{"top": 8, "components": 8}"#, "'components' is 8, and is chosen of the 8 that 'top' leaves"),
      (#"{"top": 8, "components": 4, "components_by": "largest"}"#, "by the largest is what 'top' is"),
    ] {
      let error = #expect(throws: RecordError.self) { try settings(text) }
      #expect(error?.description.contains(problem) == true, "\(error?.description ?? "")")
    }
  }

  @Test func layersAreALayerOrARange() throws {
    func layers(_ text: String) throws -> ClosedRange<Int>? {
      let settings: TrainingSettings = try reader.read(["layers": .string(text)])
      return settings.layers?.range
    }
    #expect(try layers("4") == 4...4)
    #expect(try layers("0-9") == 0...9)
    for bad in ["", "-", "9-0", "1-2-3", "a", "-1"] { #expect(throws: RecordError.self) { try layers(bad) } }
  }

  @Test func aWeightIsNotTriedTwice() throws {
    let error = #expect(throws: RecordError.self) {
      let _: TrainingSettings = try reader.read(["kl": [0.1, 0.1]])
    }
    #expect(error?.description == "'kl' has a weight twice")
  }
}
