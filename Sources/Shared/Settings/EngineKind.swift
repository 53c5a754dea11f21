import Records

/// What computes a model elsewhere, in a process that t2d asks by the engine protocol (t2-engine(7)). A model without one is
/// computed by the worker itself.
package enum EngineKind: String, Choice {
  case vllm
  case torch
}
