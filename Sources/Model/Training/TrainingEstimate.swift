package import Settings

/// What a training would take, by a few of its rows: nothing is learned and nothing is kept.
package struct TrainingEstimate: Sendable, Equatable {
  package var trainingRows: Int
  package var step: TrainingCost
  package var stepSeconds: Double
  package var validationSeconds: Double
  /// To the last step, with the choice of components and the validation of the base; patience may end it before.
  package var seconds: Double

  /// Rows that are measured: few, and enough that the weights are not all of the work.
  private static let measured = 4

  /// - Parameter clock: seconds, since whenever.
  package init(
    _ settings: TrainingSettings, of model: any TrainedModel, start: [Float], clock: () -> Double
  ) throws(TrainingError) {
    let order = try RowOrder(count: model.rowCount, validation: settings.validationRows, seed: settings.seed)
    let batch = order.batch(settings.batch, step: 0)
    let few = Array(batch.prefix(Self.measured))
    let held = Array(order.validation.prefix(Self.measured))
    // Once for what is read and mapped for the first time.
    _ = try model.gradient(of: Array(few.prefix(1)), step: 0, at: start)
    var before = clock()
    _ = try model.gradient(of: few, step: 0, at: start)
    let fewSeconds = clock() - before
    before = clock()
    _ = try model.standing(of: held, at: start)
    let heldSeconds = clock() - before

    trainingRows = order.training.count
    step = model.cost(of: batch)
    stepSeconds = fewSeconds * Double(step.tokens) / Double(max(1, model.cost(of: few).tokens))
    validationSeconds = heldSeconds * Double(order.validation.count) / Double(held.count)
    let validations = 1 + (settings.steps + settings.validationInterval - 1) / settings.validationInterval
    seconds =
      stepSeconds * Double(settings.steps + settings.choosingBatches) + validationSeconds * Double(validations)
  }
}
