package import StrictJSON

extension RPCMethod {
  /// The version of the protocol: a number that grows when a method or a member is added. Nothing is removed or
  /// retyped under one major version of t2d.
  package static let protocolVersion = 2

  /// Every method that the daemon answers, in the order of the manual.
  package static let all: [RPCMethod] =
    system + models + experts + tasks + mixtures + checks + training + dispatch + inference + jobs

  package static func named(_ name: String) -> RPCMethod? { byName[name] }

  /// The result of `system.methods`.
  package static var description: JSONValue {
    [
      "protocol": .integer(Int64(protocolVersion)), "methods": .array(all.map(\.json)),
      "notifications": .array(RPCNotification.allCases.map(\.json)),
    ]
  }

  // Names are ASCII, so canonical equivalence of Swift's String cannot confuse two of them: what a client sends
  // is compared as bytes before it comes here.
  private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })

  private static let system: [RPCMethod] = [
    RPCMethod(
      "system.hello", .read, verb: "rpc system.hello", "Says who the daemon is and where its directories are.",
      result: "name, version, protocol, pid, capabilities, access (read or change, of this peer), "
        + "prefix, socket, spool {experts, tasks}",
      [
        .optional("client", .string, "the caller's name, for the log"),
        .optional("version", .string, "the caller's version, for the log"),
      ]),
    RPCMethod(
      "system.status", .read, verb: "status", "What runs, what is queued, what needs attention.",
      result: "version, pid, uptime_seconds, generation, spool {experts, tasks}, models, experts, tasks, mixtures, "
        + "jobs {queued, running}, running, queue, worker {state, pid, memory_bytes, memory_limit_bytes, blas {running, "
        + "deserved, too_old}}, connections, memory_bytes, warnings"),
    RPCMethod(
      "system.methods", .read, verb: "methods", "Lists the methods with their parameters.",
      result: "protocol, methods, notifications [{name, summary, params}]"),
    RPCMethod(
      "system.sync", .read, verb: "sync",
      "Answers once everything that lay in the watched directories before the call has been seen and decided upon.",
      result: "generation, experts, tasks, rejected [{path, kind, message}]",
      [.optional("timeout_ms", .integer(0...600_000), "how long to wait; 30000 unless given")]),
    RPCMethod(
      "system.shutdown", .change, verb: "rpc system.shutdown", "Ends the daemon after this answer.", result: "pid"),
  ]

  private static let models: [RPCMethod] = [
    RPCMethod(
      "model.add", .change, verb: "model add",
      "Registers a base model; digest and factorization are a job. The same model again is no error.",
      result: "name, path, state, job (where one was started)",
      [
        .required("path", .string, "absolute path of a .gguf file or a Hugging Face directory, readable by the daemon"),
        .optional("name", .string, "its name here; the file's name unless given"),
      ]),
    RPCMethod(
      "model.list", .read, verb: "model list", "The registered models.",
      result: "models [{name, state, architecture, parameters, layers, context, quantization, digest, path, experts}]"),
    RPCMethod(
      "model.show", .read, verb: "model show", "One model with all that is known of it.",
      result:
        "as in model.list, and model_id, tokenizer, chat_template, target_matrices, factorization, added; where asked "
        + "for, matrices [{name, rows, columns, layer}]",
      [
        .required("name", .string, "the model's name"),
        .optional("matrices", .boolean, "list the target matrices in the model's order; false unless given"),
      ]),
    RPCMethod(
      "model.tokenize", .read, verb: "tokenize", "The token ids of a text as it is: no template, no added tokens.",
      result: "ids",
      [
        .required("text", .string, "the text"),
        .optional("model", .string, modelSummary),
        .optional("special", .boolean, "recognise the text of special tokens; false unless given"),
      ]),
  ]

  private static let experts: [RPCMethod] = [
    RPCMethod(
      "expert.list", .read, verb: "expert list", "The experts, each with its newest and its active version.",
      result: "experts [{name, label, version, active, state, model, kind, digest, bytes, added, warnings}], "
        + "rejected [{path, kind, message}]",
      [
        .optional("model", .string, "only those of this model"),
        .optional("all", .boolean, "every version, retired ones too; false unless given"),
      ]),
    RPCMethod(
      "expert.show", .read, verb: "expert show",
      "One version of an expert; the active one, else the newest, unless named.",
      result:
        "name, version, versions, state, active, label, kind, model, digest, bytes, param_space, max_mult, rescale, "
        + "base {model_id, digest, arch}, metadata, warnings, checks (as in check.list), unchecked_because, quarantine "
        + "{kind, check, check_kind, task, model}, added, matrices",
      [.required("expert", .string, expertSummary)]),
    RPCMethod(
      "expert.log", .read, verb: "expert log", "What happened to an expert: versions, promotions, who and why.",
      result: "name, events [{sequence, time, event, version, from, to, who, reason}]",
      [
        .required("expert", .string, "its name"),
        .optional("limit", .integer(1...10_000), "the newest so many; 100 unless given"),
      ]),
    RPCMethod(
      "expert.verify", .read, verb: "expert verify", "Reads an expert file by every rule, and stores nothing.",
      result: "ok, name, model, digest, matrices, warnings, error {kind, message}",
      [
        .required("path", .string, "absolute path of the file, readable by the daemon"),
        .optional("model", .string, "the model that it should fit"),
      ]),
    RPCMethod(
      "expert.promote", .change, verb: "expert promote", "Makes a version the active one.",
      result: "name, version, state, active, previous",
      [
        .required("expert", .string, "NAME@VERSION"),
        .optional("reason", .string, "for the journal"),
        .optional("allow_base", .boolean, "although it was made for another base model; false unless given"),
        .optional("allow_quarantined", .boolean, "although a check has quarantined it; false unless given"),
      ]),
    RPCMethod(
      "expert.rollback", .change, verb: "expert rollback", "Makes the version active that was active before.",
      result: "name, version, state, active, previous",
      [.required("expert", .string, "its name"), .optional("reason", .string, "for the journal")]),
    RPCMethod(
      "expert.retire", .change, verb: "expert retire", "Takes an expert out of every coming search; its versions stay.",
      result: "name, version, state, active, previous",
      [.required("expert", .string, "its name"), .optional("reason", .string, "for the journal")]),
    RPCMethod(
      "expert.export", .read, verb: "expert export", "The stored file of a version, as it came.",
      result: "name, version, digest, path, bytes; with pass_fd the open descriptor comes along (SCM_RIGHTS)",
      [
        .required("expert", .string, expertSummary),
        .optional("pass_fd", .boolean, "send the open file; false unless given"),
      ]),
  ]

  private static let tasks: [RPCMethod] = [
    RPCMethod(
      "task.list", .read, verb: "task list", "The tasks and the state of their mixtures.",
      result: "tasks [{name, revision, rows, eval_rows, scoring, metric, models, state, job, stale}], "
        + "rejected [{path, kind, message}]"),
    RPCMethod(
      "task.show", .read, verb: "task show", "One task.",
      result: "as in task.list, and digest, template, settings, mixtures, jobs",
      [.required("task", .string, "its name")]),
    RPCMethod(
      "task.register", .change, verb: "task register",
      "Binds a task whose files lie in the watched directory to a model, and queues its adaptation.",
      result: "name, revision, rows, eval_rows, state, model, job",
      [
        .required("task", .string, "its name"),
        .optional("model", .string, "the only model to adapt it on; every model with experts unless given"),
      ]),
    RPCMethod(
      "task.adapt", .change, verb: "task adapt", "Queues a search for the best mixture.",
      result: "job, task, model",
      [
        .required("task", .string, "its name"),
        .optional("model", .string, modelSummary),
        .optional("search", .choice(searchMethods), "the method; all compares them on the folds; cem unless given"),
        .optional(
          "granularity", .choice(["vector", "layer", "matrix"]), "one coefficient per expert, and layer, or matrix"),
        .optional("mix", .choice(["sum", "delta"]), "how experts are mixed; by their rescale unless given"),
        .optional("objective", .choice(["accuracy", "loglik"]), "what is maximised; accuracy unless given"),
        .optional("iterations", .integer(1...10_000), "generations at most; 100 unless given"),
        .optional("population", .integer(2...4_096), "members of a generation; 32 unless given"),
        .optional("shots", .integer(1...100_000), "use so many rows of the few-shot file; all unless given"),
        .optional("budget_prompts", .integer(1...1_000_000_000), "stop after so many scored prompts"),
        .optional("budget_seconds", .number(0.1...1_000_000), "stop after so many seconds"),
        .optional("normalized", .boolean, "coefficients that sum to one; false unless given"),
        .optional("experts", .strings, "only these experts; all active ones unless given"),
        .optional("seed", .integer(0...Int64.max), "of every random number; the task's own unless given"),
      ]),
  ]

  private static let mixtures: [RPCMethod] = [
    RPCMethod(
      "mixture.get", .read, verb: "mixture get", "The best mixture of a task, from memory.",
      result:
        "task, model, alpha {expert: coefficient or list}, granularity, mix, rescale, units, experts [{name, version, "
        + "digest}], scores {metric, base, experts, uniform, mixture, each {fit, held_out, eval}}, served, stale, stale_reason, "
        + "generation, created, digest, task_digest, base_digest, inputs_digest (of all that it depends on), vectors {path, "
        + "digest, bytes}; or not_modified and generation",
      [
        .required("task", .string, "the task's name"),
        .optional("model", .string, modelSummary),
        .optional("if_generation", .integer(0...Int64.max), "answer not_modified where this is the generation still"),
        .optional("pass_fd", .boolean, "send the open vectors file along (SCM_RIGHTS); false unless given"),
      ]),
    RPCMethod(
      "mixture.list", .read, verb: "mixture list", "The mixtures that are served.",
      result: "mixtures [{task, model, alpha, scores, served, stale, generation, created}]"),
    RPCMethod(
      "mixture.log", .read, verb: "mixture log", "What was served for a task, when, and why it changed.",
      result:
        "task, revisions [{generation, time, model, alpha, experts, scores, reason, job}], changes [{sequence, time, "
        + "event (mixture.published, .stale or .fresh), model, reason}]",
      [
        .required("task", .string, "the task's name"),
        .optional("model", .string, modelSummary),
        .optional("limit", .integer(1...10_000), "the newest so many; 100 unless given"),
      ]),
  ]

  private static let checks: [RPCMethod] = [
    RPCMethod(
      "check.run", .change, verb: "check transfer",
      "Queues a check: an expert against shuffled copies of itself and the base, on its model or on another one.",
      result: "job, kind, expert, version, model, task, rows; the job's result is as check.show",
      [
        .required("kind", .choice(["shuffle", "transfer"]), "on its own model, or on another of the same shapes"),
        .required("expert", .string, expertSummary),
        .optional("model", .string, "for transfer: the model that it is tried on"),
        .optional("task", .string, "on whose eval rows; the expert's own task unless given"),
        .optional("seeds", .integer(1...1_000), "so many shuffles; as configured unless given"),
        .optional("rows", .integer(1...1_000_000), "the first so many rows; as configured unless given"),
        .optional("seed", .integer(0...Int64.max), "of the first shuffle; as configured unless given"),
      ]),
    RPCMethod(
      "check.list", .read, verb: "check list", "The newest checks, and those that are on their way.",
      result: "checks [{check, kind, expert, version, model, task, verdict, passes, metric, n, split, p, effect, ci95, "
        + "scores {base, expert, shuffles}, action, job, time}], pending [{job, kind, expert, version, model, task, state}]",
      [
        .optional("expert", .string, "only those of this expert"),
        .optional("limit", .integer(1...10_000), "the newest so many; 100 unless given"),
      ]),
    RPCMethod(
      "check.show", .read, verb: "check show", "One check with all its numbers.",
      result:
        "as in check.list, and by_metric [{metric, verdict, scores, versus_shuffles, versus_base, each {p, p_mcnemar, "
        + "p_sign_flip, effect, ci95, won, lost}}], seed, template, kernel, seconds, row_ids, items [{of, right}]",
      [.required("check", .integer(1...Int64.max), "its number")]),
  ]

  private static let training: [RPCMethod] = [
    RPCMethod(
      "train.start", .change, verb: "train", since: 2,
      "Queues the training of an expert on a task's training rows, or of a dispatcher on those of the experts' tasks.",
      result:
        "job, name, kind, model, sources [{task, label, rows}], replaces (NAME@VERSION, or null), warnings; the job's "
        + "result holds name, version, previous, state, kind, objective, steps, best_step, stop_reason, warnings, "
        + "parameters, rows, training_rows, held_out {n, base, expert, each {loss, reward, acc, kl}}, curve [{step, "
        + "learning_rate, gradient_norm, batch, validation}], kl_weight, sweep [{kl_weight, best_step, stop_reason, held_out, "
        + "problem}] where several weights were tried, kernel, seconds; of method lora no version, but method, rank, and "
        + "eval {n, task, metric, template, base, lora, each {acc, acc_norm, ci95}} where there are eval rows, mixing "
        + "[{weights (base, first, second, parameters or products), share (of the second), scores [{task, n, acc, acc_norm, "
        + "ci95}]}] where two were mixed; of a dry run name, dry_run, parameters, rows, training_rows, step_tokens, "
        + "step_seconds, validation_seconds, seconds, memory_bytes, kernel",
      [
        .required("name", .string, "of the expert; one that is taken gets a new version"),
        .optional("task", .string, "on whose training rows, with choices or answers to generate; or dispatcher"),
        .optional("dispatcher", .boolean, "make a dispatcher for the active experts; false unless given"),
        .optional("model", .string, modelSummary),
        .optional("label", .string, "the dispatch category of the expert"),
        .optional(
          "method", .choice(["svf", "lora"]),
          "svf makes an expert; lora is compared with it, on rows with choices, and makes none; svf unless given"),
        .optional(
          "rank", .integer(1...1_024), "of lora's additions to the modules; 16, on q_proj and v_proj, unless given"),
        .optional(
          "mix_with", .string, "of lora: a second task that it is trained on too, to score mixtures of the two on both"),
        .optional("objective", .choice(["reinforce", "cross-entropy", "next-token"]), "reinforce unless given"),
        .optional("steps", .integer(1...1_000_000), "40 unless given"),
        .optional("batch", .integer(1...4_096), "rows of a step; 10 unless given"),
        .optional("learning_rate", .number(1e-9...1_000), "at its highest; 0.01 unless given"),
        .optional("warm_up", .integer(0...1_000_000), "steps in which the learning rate rises; 0 unless given"),
        .optional("clip", .number(1e-12...1e12), "the longest gradient; 0.001 unless given"),
        .optional("weight_decay", .number(0...1_000), "towards the base; 0 unless given"),
        .optional(
          "kl", .numbers(0...1_000),
          "the weight of the divergence from the base; several: one training with each, the best is kept; 0 unless given"
        ),
        .optional(
          "kl_direction", .choice(["paper", "reference"]),
          "KL(expert, base), or KL(base, expert) as in the paper's code; paper unless given"),
        .optional("samples", .integer(1...1_024), "answers of a row that are generated for a step; 4 unless given"),
        .optional("temperature", .number(0.01...100), "at which they are sampled; 1 unless given"),
        .optional(
          "baseline", .choice(["none", "group"]),
          "what their rewards are compared with: nothing, or the row's mean; none unless given"),
        .optional(
          "seed", .integer(0...Int64.max),
          "of what is held out, of the order of rows and of sampled answers; 1 unless given"),
        .optional(
          "modules", .strings, "mlp, attention, or projections such as gate_proj; every target matrix unless given"),
        .optional("layers", .string, "only matrices of these layers, as 4 or 0-9; all unless given"),
        .optional(
          "top", .integer(1...1_000_000), "only so many largest singular values of each matrix; all unless given"),
        .optional(
          "param_space", .choice(["multiplier", "logit"]),
          "whether the numbers are multipliers, or of a sigmoid from 0 to 2; multiplier unless given"),
        .optional(
          "rows", .integer(1...10_000_000),
          "the first so many training rows, of a dispatcher for each label; all, of a dispatcher 300, unless given"),
        .optional(
          "validation_rows", .integer(1...1_000_000), "rows to hold out, a quarter at most; 60 unless given"),
        .optional("validate_every", .integer(1...1_000_000), "steps between two validations; 10 unless given"),
        .optional("patience", .integer(1...1_000_000), "validations without another best; 5 unless given"),
        .optional("dry_run", .boolean, "train nothing, estimate time and memory; false unless given"),
      ])
  ]

  private static let dispatch: [RPCMethod] = [
    RPCMethod(
      "dispatch.run", .read, verb: "dispatch", since: 2,
      "Decides which expert a prompt belongs to, and answers nothing.",
      result: "decision {label, expert, read, probabilities [{label, probability, expert}], text, note}, strategy, "
        + "dispatcher, template, model, tokens {prompt}, seconds {queue, dispatch}",
      [.required("prompt", .string, "the user's words")] + decision(["prompt", "classifier"], "prompt unless given") + [
        .optional("model", .string, modelSummary)
      ]),
    RPCMethod(
      "dispatch.evaluate", .change, verb: "dispatch evaluate", since: 2,
      "Sorts labelled prompts, under the base and under a dispatcher side by side; a job.",
      result: "job; the job's result holds n, and by strategy n, correct, accuracy, ci95, other_share, labels, matrix "
        + "[true label][given label], read, template, items",
      [
        .required(
          "path", .string,
          "absolute path of a JSONL file, readable by the daemon: rows with prompt (or question) and label")
      ] + decision(["prompt", "classifier"], "both, where there is a dispatcher, unless given") + [
        .optional("model", .string, modelSummary),
        .optional("limit", .integer(1...100_000), "the first so many rows"),
      ]),
  ]

  private static func decision(_ strategies: [String], _ standard: String) -> [RPCParameter] {
    [
      .optional(
        "strategy", .choice(strategies), "prompt: the base decides; classifier: a dispatcher expert does; " + standard)
    ] + deciding
  }

  private static let deciding: [RPCParameter] = [
    .optional(
      "read", .choice(["score", "generate"]),
      "how the decision is read: the likeliest label, or the last \\boxed{} of an answer; score for small models unless "
        + "given"),
    .optional("dispatcher", .string, "the dispatcher expert, where there are several: " + expertSummary),
  ]

  private static let inference: [RPCMethod] = [
    RPCMethod(
      "score", .read, verb: "score", "Log-probabilities of a continuation, token by token.",
      result: "prompt_ids, continuation_ids, logprobs, sum, top [{id, logit, text}], model, weights",
      [
        .optional("prompt", .text, "what stands before; or prompt_ids"),
        .optional("continuation", .text, "what is scored; or continuation_ids"),
        .optional("prompt_ids", .tokens, "instead of prompt; all that a model without tokenizer takes"),
        .optional("continuation_ids", .tokens, "instead of continuation"),
      ] + weights + [
        .optional("top", .integer(0...1_000), "so many of the largest logits at the first continuation position"),
        .optional("special", .boolean, "recognise the text of special tokens; false unless given"),
      ]),
    RPCMethod(
      "generate", .read, verb: "ask", "Answers a prompt under a strategy.",
      result: "text, ids, stop (eos, stop, length or context), strategy, model, weights, mixture_digest (null for the "
        + "base), decision (as dispatch.run, where there was one), tokens {prompt, generated}, seconds {queue, dispatch, "
        + "prefill, decode}; with stream, notifications `part` come before it",
      [
        .optional("prompt", .text, "the user's words; or messages, or prompt_ids"),
        .optional("messages", .messages, "a whole chat, instead of a prompt"),
        .optional("prompt_ids", .tokens, "token ids, continued as they are; all that a model without tokenizer takes"),
        .optional(
          "strategy", .choice(["none", "expert", "mixture", "prompt", "classifier"]),
          "which weights answer; by expert, task or alpha unless given"),
        .optional("task", .string, "for mixture: the task whose mixture answers"),
        .optional("read", .choice(["score", "generate"]), "for prompt and classifier: as in dispatch.run"),
        .optional("dispatcher", .string, "for classifier: " + expertSummary),
      ] + weights.filter { $0.name != "mixture" } + [
        .optional("system", .string, "the system message of the chat template"),
        .optional("chat", .boolean, "use the model's chat template where it has one; true unless given"),
        .optional("max_tokens", .integer(1...65_536), "256 unless given"),
        .optional("temperature", .number(0...100), "0, the default, is greedy"),
        .optional("top_p", .number(0...1), "1 unless given"),
        .optional("seed", .integer(0...Int64.max), "for sampling"),
        .optional("stop", .strings, "texts that end the answer"),
        .optional("stream", .boolean, "send what is decided and written as it comes; false unless given"),
      ]),
    RPCMethod(
      "evaluate.run", .change, verb: "evaluate",
      "Scores a model on the evaluation rows of a task, under one strategy or under all side by side; a job.",
      result:
        "job; the job's result holds n, acc and acc_norm, or exact_match, ci95, metric, template, items, and where "
        + "pass one chose labels [{label, expert, n, share}] and each item's label. With compare also columns and skipped "
        + "[{column, reason}]; its job's result holds n, metric, best_expert, columns [{column, strategy, score, ci95, "
        + "versus_base and versus_best_expert {wins, losses, p}, labels, seconds}], skipped, notes, items [{id, gold, "
        + "columns {right, answer, label}}]",
      [
        .required("task", .string, "the task's name"),
        .optional("model", .string, modelSummary),
        .optional("base", .boolean, "the model as it is; the default"),
        .optional("expert", .string, expertSummary),
        .optional("mixture", .boolean, "the task's own mixture"),
        .optional("alpha", .coefficients, "a mixture of one's own"),
        .optional("mix", .choice(["sum", "delta"]), "how alpha mixes; by the experts' rescale unless given"),
        .optional(
          "strategy", .choice(["none", "expert", "mixture", "prompt", "classifier"]),
          "which weights answer a row; prompt and classifier decide it row by row"),
        .optional("compare", .boolean, "the base, every active expert and the strategies on the same rows"),
      ] + deciding + [
        .optional("rows", .choice(["eval", "fewshot", "train"]), "which rows; eval unless given"),
        .optional("limit", .integer(1...1_000_000), "the first so many rows"),
      ]),
    RPCMethod(
      "sweep.run", .change, verb: "sweep", since: 2,
      "Searches a task's mixture for every number of shots and every budget, and publishes none; a job.",
      result:
        "job, task, model, searches; the job's result holds base {value, n, ci95}, best_experts, cells [{shots, budget "
        + "{iterations or prompts}, seed, shot_ids, method, alpha, scores {fit, held_out}, eval {value, n, ci95, versus_base, "
        + "versus_best_expert}, served, served_eval, prompts, seconds, stop_reason, warnings}]",
      [
        .required("task", .string, "the task's name, which must have eval rows"),
        .optional("model", .string, modelSummary),
        .optional(
          "shots", .integers(1...100_000),
          "numbers of shots, drawn from the few-shot rows by the seed; as for task.adapt unless given"),
        .optional(
          "budgets", .strings, "how far a search goes: generations, as 20, or scored prompts, as 500p"),
        .optional("seeds", .integer(1...100), "so many seeds, one after the other; 2 unless given"),
        .optional("seed", .integer(0...Int64.max), "the first of them; the task's own unless given"),
        .optional("method", .choice(searchMethods), "as search of task.adapt"),
        .optional(
          "granularity", .choice(["vector", "layer", "matrix"]), "one coefficient per expert, and layer, or matrix"),
        .optional("mix", .choice(["sum", "delta"]), "how experts are mixed; by their rescale unless given"),
        .optional("objective", .choice(["accuracy", "loglik"]), "what is maximised; accuracy unless given"),
        .optional("iterations", .integer(1...10_000), "generations at most, without budgets; 100 unless given"),
        .optional("population", .integer(2...4_096), "members of a generation; 32 unless given"),
        .optional("normalized", .boolean, "coefficients that sum to one; false unless given"),
        .optional("experts", .strings, "only these experts; all active ones unless given"),
      ]),
  ]

  private static let jobs: [RPCMethod] = [
    RPCMethod(
      "job.list", .read, verb: "job list", "The newest jobs.",
      result:
        "jobs [{job, kind, state, task, model, fraction, phase, detail, best, eta_seconds, created, started, ended}]",
      [
        .optional("state", .choice(["queued", "running", "done", "failed", "cancelled", "interrupted"]), "only these"),
        .optional("limit", .integer(1...10_000), "the newest so many; 50 unless given"),
      ]),
    RPCMethod(
      "job.show", .read, verb: "job show", "One job.",
      result:
        "as in job.list, and spec, result (of a search: as mixture.get, and the history of each configuration and "
        + "eval_items, the rows that were won and lost; of a training that ended badly: the curve as far as it came), "
        + "error {kind, message}",
      [.required("job", jobNumber, "its number")]),
    RPCMethod(
      "job.wait", .read, verb: "job wait",
      "Answers when the job has ended, or when the time is up, with its state then.",
      result: "as job.show",
      [
        .required("job", jobNumber, "its number"),
        .optional("timeout_ms", .integer(0...600_000), "how long at most; 60000 unless given"),
      ]),
    RPCMethod(
      "job.cancel", .change, verb: "job cancel", "Ends a job that is queued or running.", result: "job, state",
      [.required("job", jobNumber, "its number")]),
    RPCMethod(
      "events.subscribe", .read, verb: "events",
      "The newest events; then each further one as a notification `event` on this connection.",
      result: "sequence, events [{sequence, time, event, ...}]; notification params are one such event",
      [
        .optional("after", .integer(0...Int64.max), "events after this sequence number; the newest unless given"),
        .optional("limit", .integer(0...4_096), "so many past events at most; 50 unless given"),
        .optional("events", .strings, "only these kinds"),
        .optional("follow", .boolean, "send what comes; true unless given"),
      ]),
  ]

  private static let searchMethods = ["cem", "random", "cma-es", "gradient", "all"]
  private static let jobNumber = RPCParameterType.integer(1...Int64.max)
  private static let modelSummary = "the model; the default or only one unless given"
  private static let expertSummary = "NAME or NAME@VERSION"

  /// Which weights see a text: nothing is the base; otherwise one of expert, mixture, alpha.
  private static let weights: [RPCParameter] = [
    .optional("model", .string, modelSummary),
    .optional("expert", .string, expertSummary),
    .optional("mixture", .string, "the mixture of this task"),
    .optional("alpha", .coefficients, "a mixture of one's own: coefficients by expert"),
    .optional("mix", .choice(["sum", "delta"]), "how alpha mixes; by the experts' rescale unless given"),
  ]
}
