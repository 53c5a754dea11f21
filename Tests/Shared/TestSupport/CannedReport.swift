package import StrictJSON

/// What a daemon answers of one task, so far as a report shows it: for the tests of the report and of the verbs.
package enum CannedReport {
  package static let hostile = "<script>alert(1)</script>"

  private static func score(_ value: Double, eval: Bool, paired: Bool = false) -> JSONValue {
    var score: JSONObject = ["fit": .number(value + 0.1), "held_out": .number(value), "fit_loglik": -1.5]
    guard eval else { return .object(score) }
    var rows: JSONObject = [
      "value": .number(value), "n": 400, "ci95": [.number(value - 0.05), .number(value + 0.05)],
    ]
    if paired { rows["versus_base"] = ["wins": 60, "losses": 20, "p": 0.00001] }
    score["eval"] = .object(rows)
    return .object(score)
  }

  package static func mixture(
    granularity: String = "vector", eval: Bool = true, served: String = "mixture"
  ) -> JSONValue {
    var mixture = found(granularity: granularity, eval: eval, served: served)
    let answer: JSONObject = [
      "task": "arc", "model": "tiny", "stale": true, "stale_reason": "'science' is now at version 3 (was 2)",
      "generation": 9, "created": "2026-01-31T12:00:00.123Z",
      "vectors": ["path": "/v", "digest": "sha256:aa", "bytes": 4096],
    ]
    for (name, value) in answer.members { mixture[name] = value }
    return .object(mixture)
  }

  /// What the search found.
  private static func found(
    granularity: String = "vector", eval: Bool = true, served: String = "mixture", configurations: [JSONValue] = []
  ) -> JSONObject {
    var mixture: JSONObject = [
      "granularity": .string(granularity), "mix": "delta", "rescale": "none", "task_digest": "sha256:03",
      "base_digest": "sha256:04", "inputs_digest": "sha256:05",
      "experts": [
        ["name": "science", "version": 2, "digest": "sha256:01"],
        ["name": "social", "version": 1, "digest": "sha256:02"],
      ],
      "scores": [
        "metric": "acc", "base": score(0.5, eval: eval),
        "experts": ["science": score(0.6, eval: eval, paired: true), "social": score(0.4, eval: false)],
        "uniform": score(0.5, eval: false), "mixture": score(0.65, eval: eval, paired: true),
      ],
      "served": .string(served), "served_because": "it is better held out", "digest": "sha256:aa",
      "template": "Question: {question}", "warnings": ["60 coefficients were fitted to 10 shots"],
      "search": [
        "method": "all", "objective": "accuracy", "generations": 2, "stop_reason": "converged", "seed": 1,
        "population": 32, "elites": 6, "shots": 10, "job": 5, "kernel": "Zen", "normalized": false,
        "configurations": .array(configurations), "prompts": 900, "prompts_saved_by_cache": 100,
        "prompts_saved_by_pruning": 50, "prompts_saved_by_convergence": 0, "seconds": ["search": 12.5],
      ],
    ]
    switch granularity {
    case "layer":
      mixture["units"] = ["model.layers.0", "model.layers.1", "model.layers.2"]
      mixture["alpha"] = ["science": [0, 0.5, 1], "social": [-0.25, 0, 0.25]]
    case "matrix":
      let names = ["self_attn.q_proj", "mlp.up_proj"]
      mixture["units"] = .array((0..<2).flatMap { l in names.map { .string("model.layers.\(l).\($0).weight") } })
      mixture["alpha"] = ["science": [0, 0.5, 1, 0.25], "social": [0, 0, 0, 0]]
    default: mixture["alpha"] = ["science": 0.8125, "social": -0.03125]
    }
    return mixture
  }

  /// The search's job, with its history and its items.
  package static var job: JSONValue {
    func line(_ method: String, chosen: Bool) -> JSONValue {
      [
        "method": .string(method), "granularity": "vector", "mix": "delta", "coefficients": 2,
        "alpha": [[0.8], [-0.03]],
        "scores": ["fit": 0.75, "fit_loglik": -1.5],
        "generations": 2, "stop_reason": "converged", "seconds": 3.5, "prompts": 450, "prompts_saved_by_cache": 50,
        "prompts_saved_by_pruning": 25, "prompts_saved_by_convergence": 0, "chosen": .bool(chosen),
        "history": [
          [
            "generation": 0, "best": 0.5, "best_log_likelihood": -2, "mean": 0.4, "spread": 0.5, "prompts": 200,
          ],
          [
            "generation": 1, "best": 0.75, "best_log_likelihood": -1.5, "mean": 0.6, "spread": 0.2, "prompts": 450,
          ],
        ],
      ]
    }
    func answer(_ text: String, _ isRight: Bool) -> JSONValue { ["text": .string(text), "right": .bool(isRight)] }
    var result = found(configurations: [line("cem", chosen: true), line("random", chosen: false)])
    result["eval_items"] = [
      "best_expert": "science", "differing": 3,
      "items": [
        [
          "id": "q7", "line": 7, "question": .string("What do bees make? \(hostile)"), "gold": "Honey & wax",
          "base": answer("Milk", false), "best_expert": answer("Honey & wax", true),
          "mixture": answer("Honey & wax", true),
        ],
        [
          "id": "q9", "line": 9, "question": "Why?", "gold": "So", "base": answer("So", true),
          "best_expert": answer("So", true), "mixture": answer(.init(hostile), false),
        ],
      ],
    ]
    return ["job": 5, "kind": "adapt", "state": "done", "result": .object(result)]
  }

  package static let dispatch: JSONValue = [
    "job": 8, "kind": "dispatch", "state": "done", "task": nil, "model": "tiny", "attempts": 1, "fraction": 1,
    "created": "2026-01-31T12:50:00.000Z", "started": "2026-01-31T12:50:00.000Z", "ended": "2026-01-31T13:00:00.000Z",
    "reason": "dispatch.evaluate",
    "result": [
      "n": 20, "kernel": "Zen", "seconds": 3.5,
      "strategies": [
        "prompt": [
          "n": 20, "correct": 13, "accuracy": 0.65, "ci95": [0.43, 0.82], "other_share": 0.3,
          "labels": ["science", "other"], "matrix": [[8, 2], [5, 5]], "read": "score", "template": "dispatch.txt",
          "items": [],
        ],
        "classifier": [
          "n": 20, "correct": 20, "accuracy": 1, "ci95": [0.84, 1], "other_share": 0.5,
          "labels": ["science", "other"], "matrix": [[10, 0], [0, 10]], "read": "score", "template": "dispatch.txt",
          "items": [],
        ],
      ],
    ],
  ]

  package static let log: JSONValue = [
    "task": "arc",
    "revisions": [
      [
        "revision": 2, "served": "mixture",
        "scores": [
          "metric": "acc", "base": score(0.5, eval: false), "experts": [:], "uniform": score(0.5, eval: false),
          "mixture": score(0.65, eval: false),
        ],
        "generation": 9, "time": "T3", "model": "tiny", "alpha": ["science": 0.8], "reason": .string(hostile),
        "experts": [["name": "science", "version": 2, "digest": "sha256:01"]], "job": 5,
      ]
    ], "changes": [],
  ]

  package static let checks: JSONValue = [
    "checks": [
      check(
        3, "shuffle", of: "science", on: "tiny", "ordered", p: 0.0001, effect: 0.13, [0.08, 0.18], n: 400,
        scores: ["base": 0.5, "expert": 0.64, "shuffles": [0.5, 0.51]]),
      check(
        5, "transfer", of: "science", on: "sibling", "ordered", p: 0.002, effect: 0.1, [0.02, 0.18], n: 200,
        scores: ["base": 0.5, "expert": 0.6, "shuffles": [0.52, 0.48, 0.5]]),
      check(
        4, "shuffle", of: "stranger", on: "tiny", "inconclusive", p: 0.5, effect: 0, [-0.1, 0.1], n: 200,
        scores: ["base": 0.5, "expert": 0.5, "shuffles": [0.5]]),
    ], "pending": [],
  ]

  private static func check(
    _ number: Int64, _ kind: String, of expert: String, on model: String, _ verdict: String, p: Double, effect: Double,
    _ ci95: [Double], n: Int, scores: JSONValue
  ) -> JSONValue {
    [
      "check": .integer(number), "kind": .string(kind), "expert": .string(expert), "version": 2,
      "model": .string(model), "task": "arc", "verdict": .string(verdict), "passes": .bool(verdict == "ordered"),
      "metric": "acc", "n": JSONValue(n), "split": "eval", "p": .number(p), "effect": .number(effect),
      "ci95": .array(ci95.map { .number($0) }), "scores": scores, "action": "warn", "job": .integer(number + 10),
      "time": "2026-01-31T13:00:00.000Z",
    ]
  }
}
