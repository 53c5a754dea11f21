// People name matrices by what they belong to or by what they are: `mlp`, `attention`, `gate_proj`. The names are those of
// the checkpoints, so a layout knows which matrices they mean.

/// A name that means no matrix of a model.
package struct UnknownModule: Error, Equatable, CustomStringConvertible {
  package let module: String
  /// Names of single matrices that the model has.
  package let known: [String]

  package var description: String {
    "the model has no target matrices '\(module)'; modules are mlp, attention, \(known.joined(separator: ", "))"
  }
}

extension MultiplierLayout {
  /// The matrices that a list of modules means: `mlp`, `attention`, or projections by their names in the checkpoint; all
  /// where the list is empty. Of a checkpoint that has several projections in one matrix, each of their names means that
  /// one.
  package func matrices(ofModules modules: [String]) throws(UnknownModule) -> [Int] {
    guard !modules.isEmpty else { return Array(matrices.indices) }
    var chosen: Set<Int> = []
    for module in modules {
      let part = module == "attention" ? "self_attn" : module
      var found: [Int] = []
      if module == "mlp" || module == "attention" || module.hasSuffix("_proj") {
        found = matrices(named: part)
        if found.isEmpty, let whole = Self.fusedModules[module] { found = matrices(named: whole) }
      }
      guard !found.isEmpty else {
        throw UnknownModule(module: module, known: Set(matrices.compactMap(\.module)).sorted())
      }
      chosen.formUnion(found)
    }
    return chosen.sorted()
  }

  private func matrices(named part: String) -> [Int] {
    matrices.indices.filter { index in
      matrices[index].name.split(separator: ".").contains { $0.utf8.elementsEqual(part.utf8) }
    }
  }

  /// By a projection's own name, that of the matrix that holds it where a checkpoint fuses it with others.
  private static let fusedModules = [
    "q_proj": "qkv_proj", "k_proj": "qkv_proj", "v_proj": "qkv_proj", "gate_proj": "gate_up_proj",
    "up_proj": "gate_up_proj",
  ]

  /// The names of the single matrices that are factored, in the order of a layer; nil where all are.
  package var factoredModules: [String]? {
    guard matrices.contains(where: { !$0.isFactored }) else { return nil }
    var names: [String] = []
    for matrix in matrices where matrix.isFactored {
      if let name = matrix.module, !names.contains(name) { names.append(name) }
    }
    return names
  }

  /// The name of the file that keeps the factorization of a model of that digest, one for each choice of matrices.
  package func factorizationFileName(ofModel digest: String) -> String {
    ([digest.replacing(":", with: "-")] + (factoredModules.map { [$0.joined(separator: "+")] } ?? []) + ["svf"])
      .joined(separator: ".")
  }
}

extension TargetMatrix {
  /// `gate_proj` of "model.layers.0.mlp.gate_proj.weight".
  fileprivate var module: String? { name.split(separator: ".").first { $0.hasSuffix("_proj") }.map(String.init) }
}
