import StrictJSON

/// What a program that trained a model has put around the names of its tensors, and what they are without it.
///
///     module._orig_mod.model.layers.0.mlp.up_proj.weight                              DistributedDataParallel, torch.compile
///     _fsdp_wrapped_module.model.layers.0._fsdp_wrapped_module.mlp.up_proj.weight     FSDP, around each layer too
///
/// A wrapper is a module that holds the model, so its name is a component, or several, in front of the model's own names.
/// No list of them can be whole, since every trainer names its own. So any components that all names of a file share may
/// go, but only where every name is one of the model's then. The list says where a known one comes from, and which of
/// them stand within names too.
package struct WrapperPrefix: Sendable, Equatable {
  /// In front of every name, with its points; empty where nothing is.
  package let prefix: String
  /// Components that stand further inside of names and go too, each once.
  package let inner: [String]

  /// Who puts a component there, for messages. Those with an underscore in front are in no model's names, wherever they stand.
  private static let origins: [(component: String, origin: String)] = [
    ("_orig_mod", "torch.compile"), ("module", "DistributedDataParallel or DeepSpeed"),
    ("_fsdp_wrapped_module", "FSDP"), ("_fpw_module", "FSDP"),
    ("_checkpoint_wrapped_module", "activation checkpointing"), ("_forward_module", "Lightning"), ("_module", "Opacus"),
    ("base_model", "PEFT"), ("pretrained_model", "TRL"), ("policy", "a trainer"), ("actor", "a trainer"),
  ]

  /// How the names of a file become such that each `fits`: `isEmpty` where they do as they are, nil where none of this
  /// makes them. Of several ways the one that takes the least.
  package init?(of names: some Collection<String>, fits: (String) -> Bool) {
    guard let first = names.first else { return nil }
    var prefix = ""
    for component in first.split(separator: ".", omittingEmptySubsequences: false) {
      let longer = prefix + component + "."
      // What always belongs to a wrapper is part of the prefix where it can be.
      if !Self.isWrapper(component) || !names.allSatisfy({ Self.begins($0, longer) }) {
        let candidate = WrapperPrefix(prefix, of: names)
        if fits(candidate.strip(first)), names.allSatisfy({ fits(candidate.strip($0)) }) {
          self = candidate
          return
        }
      }
      guard names.allSatisfy({ Self.begins($0, longer) }) else { return nil }
      prefix = longer
    }
    return nil
  }

  /// What all names of a file have of known wrappers, for who says why they do not fit; nil where that is nothing.
  package init?(knownIn names: some Collection<String>) {
    guard let first = names.first else { return nil }
    var prefix = ""
    for component in first.split(separator: ".") {
      // PEFT's wrapper holds another one, which holds the model.
      let isKnown =
        Self.origins.contains { $0.component == component } || (component == "model" && prefix == "base_model.")
      guard isKnown, names.allSatisfy({ Self.begins($0, prefix + component + ".") }) else { break }
      prefix += component + "."
    }
    self.init(prefix, of: names)
    if isEmpty { return nil }
  }

  /// `prefix` is in front of all names.
  private init(_ prefix: String, of names: some Collection<String>) {
    var inner: [String] = []
    for name in names where name.utf8.contains(UInt8(ascii: "_")) {
      for component in name.utf8.dropFirst(prefix.utf8.count).split(separator: UInt8(ascii: ".")).map(Substring.init)
      where Self.isWrapper(component) && !inner.contains(where: { $0 == component }) {
        inner.append(String(component))
      }
    }
    self.prefix = prefix
    self.inner = inner.sorted()
  }

  /// A component that is in no model's names.
  private static func isWrapper(_ component: Substring) -> Bool {
    component.hasPrefix("_") && origins.contains { $0.component == component }
  }

  private static func begins(_ name: String, _ prefix: String) -> Bool { name.utf8.starts(with: prefix.utf8) }

  package var isEmpty: Bool { prefix.isEmpty && inner.isEmpty }

  /// The name without it.
  package func strip(_ name: String) -> String {
    guard Self.begins(name, prefix) else { return name }
    let rest = String(decoding: name.utf8.dropFirst(prefix.utf8.count), as: UTF8.self)
    guard !inner.isEmpty else { return rest }
    return rest.split(separator: ".", omittingEmptySubsequences: false).filter { component in
      !inner.contains { $0 == component }
    }.joined(separator: ".")
  }
}

extension WrapperPrefix: CustomStringConvertible {
  /// "the prefix 'module._orig_mod.' (DistributedDataParallel or DeepSpeed, torch.compile)".
  package var description: String {
    let components = prefix.split(separator: ".").map(String.init) + inner
    var origins: [String] = []
    for component in components {
      guard let origin = Self.origins.first(where: { $0.component == component })?.origin, !origins.contains(origin)
      else { continue }
      origins.append(origin)
    }
    var parts: [String] = []
    if !prefix.isEmpty { parts.append("the prefix '\(prefix.excerpt)'") }
    if !inner.isEmpty { parts.append(inner.map { "'\($0)'" }.joined(separator: " and ") + " within names") }
    return parts.joined(separator: " and ") + (origins.isEmpty ? "" : " (\(origins.joined(separator: ", ")))")
  }
}
