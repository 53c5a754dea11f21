import Records
import TestSupport
import SystemSupport
import Testing

@testable import Daemon

/// Configuration files that were good once.
@Suite struct ConfigurationMutationTests {
  @Test func aMutatedConfigurationIsReadOrRefused() async {
    await #expect(processExitsWith: .success) {
      let text = """
        {socket: "s", socket_mode: "0660", admin_group: "g", log_level: "debug", promotion: "manual",
        default_model: "m", memory_budget: 1024, max_expert_bytes: 4096, max_task_bytes: 4096,
        search: {method: "cem", granularity: "vector", granularities: ["layer"], mix: "sum", objective: "loglik",
        population: 32, elites: 6, iterations: 10, lower: -1.5, upper: 1e2, normalized: false, seed: 1, shots: 10,
        budget_prompts: 10, budget_seconds: 0.5}, debounce: {quiet_seconds: 2, limit_seconds: 30.5},
        checks: {on_arrival: false, seeds: 5, seed: 1, rows: 200, policy: {ordered: "warn", inconclusive: "warn",
        no_better_than_shuffled: "quarantine"}}, worker: {path: "p", threads: 2, memory_limit: 9223372036854775807,
        hang_seconds: 60, stop_seconds: 0.5}, dispatch: {template: "t", read: "score", small_parameters: 5,
        max_tokens: 7}, code: {enabled: true, interpreter: "i", user: "u", timeout_seconds: 3600,
        memory_limit: 33554432, require: ["seccomp"]}}
        """
      let problem = withstand([Array(text.utf8)]) { bytes in
        let configuration = try Configuration(json5: bytes, path: "t2d.json5")
        _ = RecordWriter.json(configuration)
      }
      #expect(problem == nil, "\(problem ?? "")")
    }
  }
}
