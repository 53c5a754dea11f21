import ControlCommands
import StrictJSON
import Testing

@Suite struct TrainVerbTests {
  private static let started: JSONValue = [
    "job": 7, "name": "mine", "kind": "expert", "model": "smollm2", "replaces": "mine@1",
    "warnings": ["there are no training rows for the label 'x', so it will hardly be given"],
  ]

  private static func standing(_ reward: Double, _ right: Double) -> JSONValue {
    ["rows": 60, "loss": .number(-reward), "reward": .number(reward), "acc": .number(right), "kl": 0.0]
  }

  private static let result: JSONValue = [
    "kind": "expert", "objective": "reinforce", "stop_reason": "steps", "warnings": [], "rows": 300, "kernel": "Zen",
    "parameters": 400, "kl_weight": 0.0, "name": "mine", "version": 2, "previous": 1, "state": "active", "steps": 40,
    "best_step": 20, "training_rows": 240, "seconds": 75.0,
    "held_out": ["n": 60, "base": standing(-0.1, 0.5), "expert": standing(0.2, 0.65)],
    "curve": [
      ["step": 0, "validation": standing(-0.1, 0.5)], ["step": 1, "batch": standing(-0.2, 0.4)],
      ["step": 20, "batch": standing(0.3, 0.7), "validation": standing(0.2, 0.65)],
    ],
  ]

  /// A job with what every job has.
  private func whole(_ job: JSONValue) -> JSONValue {
    var whole: JSONObject = [
      "kind": "train", "task": "easy", "model": "smollm2", "attempts": 1, "fraction": 0, "created": "T", "started": "T",
      "ended": "T", "reason": "train.start", "who": "uid 1000", "spec": [:],
    ]
    for (name, value) in job.objectValue?.members ?? [] { whole[name] = value }
    return .object(whole)
  }

  private func train(
    _ arguments: [String], job: JSONValue = ["job": 7, "state": "done", "fraction": 1, "result": result]
  ) throws -> (outcome: Outcome, asked: JSONObject) {
    var found: (Outcome, JSONObject)?
    try withDaemon { request, reply in
      // Of a curve's points only some have a validation, which these lists show.
      if request.method.name == "train.start" { reply.succeed(Self.started) } else { reply.succeed(only: whole(job)) }
    } _: { daemon, options, _ in
      let outcome = run(["train"] + arguments + options)
      found = (outcome, try #require(daemon.calls(of: "train.start").first))
    }
    return try #require(found)
  }

  @Test func everyOptionReachesTheDaemon() throws {
    let (outcome, asked) = try train([
      "mine", "--task", "easy", "--label", "x", "--objective", "cross-entropy", "--steps", "50", "--batch", "8", "--lr",
      "0.02", "--warm-up", "5", "--clip", "0.5", "--weight-decay", "0.1", "--kl", "0,0.2", "--kl-direction",
      "reference",
      "--samples", "6", "--temperature", "0.8", "--baseline", "group", "--seed", "9", "--layers", "0-9", "--top", "64",
      "--param-space", "logit", "--modules", "mlp,q_proj", "--rows", "100", "--validation-rows", "30",
      "--validate-every", "4", "--patience", "3", "--model",
      "smollm2",
    ])
    #expect(outcome.status == 0, "\(outcome.error)")
    #expect(
      asked == [
        "name": "mine", "task": "easy", "label": "x", "objective": "cross-entropy", "steps": 50, "batch": 8,
        "learning_rate": 0.02, "warm_up": 5, "clip": 0.5, "weight_decay": 0.1, "kl": [0.0, 0.2],
        "kl_direction": "reference", "samples": 6, "temperature": 0.8, "baseline": "group", "seed": 9, "layers": "0-9",
        "top": 64, "param_space": "logit",
        "modules": ["mlp", "q_proj"], "rows": 100, "validation_rows": 30, "validate_every": 4, "patience": 3,
        "model": "smollm2",
      ])
  }

  @Test func whatIsShownIsTheCurveOfWhatWasHeldOut() throws {
    let (outcome, _) = try train(["mine", "--task", "easy"])
    #expect(outcome.lines[0].hasPrefix("mine@2 (active), step 20 of 40, 240 rows, "))
    #expect(outcome.lines.contains("0\t-0.1000\t0.5000\t0.0000\t0.1000"))
    #expect(outcome.lines.contains("20 *\t0.2000\t0.6500\t0.0000\t-0.2000"))
    #expect(!outcome.lines.contains { $0.hasPrefix("1\t") })
    #expect(outcome.error.contains("warning: there are no training rows for the label 'x'"))
    #expect(outcome.error.contains("a new version of mine@1"))
  }

  @Test func loraShowsWhatItCameToAndThatNothingWasMade() throws {
    var result = try #require(Self.result.objectValue)
    result["method"] = "lora"
    result["rank"] = 16
    result["parameters"] = 1000
    result["eval"] = [
      "n": 400, "task": "easy", "metric": "acc", "template": "T",
      "base": ["acc": 0.5, "acc_norm": 0.475, "ci95": [0.4, 0.6]],
      "lora": ["acc": 0.6, "acc_norm": 0.55, "ci95": [0.5, 0.7]],
    ]
    result["mixing"] = [
      [
        "weights": "products", "share": 0.5,
        "scores": [
          ["task": "easy", "n": 400, "acc": 0.58, "acc_norm": 0.5, "ci95": [0.5, 0.6]],
          ["task": "other", "n": 90, "acc": 0.41, "acc_norm": 0.4, "ci95": [0.3, 0.5]],
        ],
      ]
    ]
    let (outcome, asked) = try train(
      ["mine", "--task", "easy", "--method", "lora", "--rank", "16", "--mix-with", "other"],
      job: ["job": 7, "state": "done", "fraction": 1, "result": .object(result)])
    #expect(asked == ["name": "mine", "task": "easy", "method": "lora", "rank": 16, "mix_with": "other"])
    #expect(outcome.lines[0].hasPrefix("lora of rank 16, 1000 parameters, step 20 of 40, 240 rows, "))
    #expect(outcome.lines.contains("held out\t60\tlora\t0.6500\t-"))
    #expect(outcome.lines.contains("eval\t400\tbase\t0.5000\t0.4750"))
    #expect(outcome.lines.contains("eval\t400\tlora\t0.6000\t0.5500"))
    #expect(outcome.lines.contains("products\t0.50\t0.5800\t0.4100"))
    #expect(outcome.error.contains("no expert was made"))
  }

  @Test func aSweepShowsItsTrainingsAndWhatStoppedOneOfThem() throws {
    var swept = try #require(Self.result.objectValue)
    swept["kl_weight"] = 0.1
    swept["warnings"] = ["stopped early: the training diverged at step 3"]
    swept["sweep"] = [
      ["kl_weight": 0.0, "problem": "nothing was learned in 40 steps"],
      ["kl_weight": 0.1, "best_step": 20, "stop_reason": "diverged", "held_out": Self.standing(0.2, 0.65)],
    ]
    let (outcome, _) = try train(
      ["mine", "--task", "easy", "--kl", "0,0.1"], job: ["job": 7, "state": "done", "result": .object(swept)])
    #expect(outcome.lines.contains("0.1000 *\t20\t0.2000\t0.6500\t0.0000"))
    #expect(outcome.lines.contains("0.0000\t-\t-\t-\t-"))
    #expect(outcome.error.contains("weight 0.0000: nothing was learned in 40 steps"))
    #expect(outcome.error.contains("warning: stopped early: the training diverged at step 3"))
  }

  @Test func aDryRunShowsAnEstimateAndNoExpert() throws {
    let job: JSONValue = [
      "job": 7, "state": "done",
      "result": [
        "name": "mine", "dry_run": true, "parameters": 400, "rows": 80, "training_rows": 60, "step_tokens": 900,
        "step_seconds": 2.5, "validation_seconds": 4.0, "seconds": 120.0, "memory_bytes": 1_500_000_000,
        "kernel": "Zen",
      ],
    ]
    let (outcome, asked) = try train(["mine", "--task", "easy", "--dry-run"], job: job)
    #expect(asked["dry_run"] == true && outcome.status == 0)
    #expect(outcome.lines[0] == "mine would have 400 parameters, from 60 of 80 rows")
    #expect(outcome.lines.contains("memory of the worker\t1500 MB"))
    #expect(outcome.error.contains("nothing was trained"))
  }

  @Test func aDispatcherIsAskedForByAFlagAndAJobIsNotWaitedForWhereNobodyWants() throws {
    let (outcome, asked) = try train(["mine", "--dispatcher", "--no-wait"])
    #expect(asked == ["name": "mine", "dispatcher": true])
    #expect(outcome.lines == ["job 7"])
  }

  @Test func aTrainingThatFailsIsStatusOneWithItsReason() throws {
    let job: JSONValue = [
      "job": 7, "state": "failed", "error": ["kind": "failed", "message": "the training diverged at step 3"],
    ]
    let (outcome, _) = try train(["mine", "--task", "easy"], job: job)
    #expect(outcome.status == 1 && outcome.error.contains("job 7 failed: the training diverged at step 3"))
  }
}
