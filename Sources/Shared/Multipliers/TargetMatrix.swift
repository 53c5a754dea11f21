/// A weight matrix that experts may rescale.
package struct TargetMatrix: Sendable, Hashable {
  /// The checkpoint's own parameter name, such as "model.layers.0.mlp.gate_proj.weight".
  package let name: String
  /// Outputs, m.
  package let rows: Int
  /// Inputs, n.
  package let columns: Int
  /// The transformer layer that it is part of, counted from 0; nil outside the layers.
  package let layer: Int?

  package init(name: String, rows: Int, columns: Int, layer: Int?) {
    precondition(rows > 0 && columns > 0, "matrix '\(name)' cannot be \(rows) x \(columns)")
    self.name = name
    self.rows = rows
    self.columns = columns
    self.layer = layer
  }

  /// r = min(m, n): the number of singular values, and of multipliers.
  package var rank: Int { min(rows, columns) }
}
