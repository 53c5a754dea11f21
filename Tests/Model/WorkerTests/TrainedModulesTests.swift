import ModelFormats
import Multipliers
import Settings
import Testing
import WorkerProtocol

@testable import Worker

/// Which matrices the names of modules mean, of checkpoints with seven matrices in a layer and with four.
@Suite struct TrainedModulesTests {
  private func names(_ modules: [String], isFused: Bool) throws -> [String] {
    var configuration = ModelConfiguration(
      modelID: "m", layers: 1, hidden: 8, intermediate: 16, heads: 2, kvHeads: 1, headDim: 4, vocabulary: 16,
      contextLength: 32, ropeTheta: 1e4, rmsEpsilon: 1e-5, tiedEmbeddings: true)
    configuration.isFused = isFused
    let layout = MultiplierLayout(configuration.targets)
    var settings = TrainingSettings()
    settings.modules = modules
    return try layout.matrices(of: settings).map { index in
      String(layout.matrices[index].name.split(separator: ".")[4])
    }
  }

  @Test func aModuleIsItsProjectionOrTheMatrixThatHoldsIt() throws {
    #expect(try names(["v_proj", "q_proj"], isFused: false) == ["q_proj", "v_proj"])
    #expect(try names(["v_proj", "q_proj"], isFused: true) == ["qkv_proj"])
    #expect(try names(["up_proj", "o_proj"], isFused: true) == ["o_proj", "gate_up_proj"])
    #expect(try names(["qkv_proj"], isFused: true) == ["qkv_proj"])
    #expect(try names(["mlp"], isFused: true) == ["gate_up_proj", "down_proj"])
    #expect(try names(["attention"], isFused: true) == ["qkv_proj", "o_proj"])
    #expect(try names([], isFused: true).count == 4)
    #expect(try names([], isFused: false).count == 7)
  }

  @Test func aModuleThatTheModelLacksIsNamedWithThoseItHas() throws {
    for (module, isFused) in [("qkv_proj", false), ("lm_head", true), ("model", false)] {
      #expect(throws: WorkerFault.self) { try names([module], isFused: isFused) }
    }
    do {
      _ = try names(["k_norm"], isFused: true)
      Issue.record("a norm was taken for a module")
    } catch let fault as WorkerFault {
      #expect(
        fault.message == "the model has no target matrices 'k_norm'; modules are mlp, attention, down_proj, "
          + "gate_up_proj, o_proj, qkv_proj")
    }
  }
}
