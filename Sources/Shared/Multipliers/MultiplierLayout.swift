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
  /// Whether its singular values are known. One of which they are not is W as it is, for every expert: it has no
  /// multipliers, and still its place among the matrices of its model.
  package var isFactored: Bool

  package init(name: String, rows: Int, columns: Int, layer: Int?, isFactored: Bool = true) {
    precondition(rows > 0 && columns > 0, "matrix '\(name)' cannot be \(rows) x \(columns)")
    self.name = name
    self.rows = rows
    self.columns = columns
    self.layer = layer
    self.isFactored = isFactored
  }

  /// r: the number of singular values that are known, and of multipliers; none where it is not factored.
  package var rank: Int { isFactored ? shortSide : 0 }

  /// min(m, n): what r is once it is factored.
  package var shortSide: Int { min(rows, columns) }
}

/// Where the multipliers of each target matrix lie in one flat array: matrix after matrix in the model's own order, layer
/// by layer q, k, v, o, gate, up, down. Singular values lie in the same way.
package struct MultiplierLayout: Sendable, Hashable {
  package let matrices: [TargetMatrix]
  /// The first index of each matrix; one more at the end, which is ``count``.
  package let offsets: [Int]
  /// Indices of matrices by the UTF-8 bytes of their names: String's own equality takes different spellings of one
  /// character as the same.
  private let indices: [[UInt8]: Int]
  /// The unit of each matrix under ``Granularity/layer``, and the names of those units.
  private let layerUnits: [Int]
  private let layerNames: [String]
  /// Those under ``Granularity/matrix``: matrices without multipliers are none.
  private let matrixUnits: [Int]
  private let matrixNames: [String]

  /// Traps where two matrices have one name: the model reader has refused such a file.
  package init(_ matrices: [TargetMatrix]) {
    self.matrices = matrices
    var offsets = [0]
    var indices: [[UInt8]: Int] = [:]
    var layerUnits: [Int] = []
    var layerNames: [String] = []
    var unitOfLayer: [Int: Int] = [:]
    for (index, matrix) in matrices.enumerated() {
      offsets.append(offsets[index] + matrix.rank)
      let previous = indices.updateValue(index, forKey: Array(matrix.name.utf8))
      precondition(previous == nil, "two target matrices are named '\(matrix.name)'")
      if let layer = matrix.layer, let unit = unitOfLayer[layer] {
        layerUnits.append(unit)
      } else {
        // A matrix outside the layers is a unit by itself.
        layerUnits.append(layerNames.count)
        if let layer = matrix.layer { unitOfLayer[layer] = layerNames.count }
        layerNames.append(matrix.layer.map { "model.layers.\($0)" } ?? matrix.name)
      }
    }
    self.offsets = offsets
    self.indices = indices
    self.layerUnits = layerUnits
    self.layerNames = layerNames
    var matrixUnits: [Int] = []
    var matrixNames: [String] = []
    for matrix in matrices {
      // What decides over nothing may be any unit.
      matrixUnits.append(matrix.isFactored ? matrixNames.count : 0)
      if matrix.isFactored { matrixNames.append(matrix.name) }
    }
    self.matrixUnits = matrixUnits
    self.matrixNames = matrixNames
  }

  /// Those that have multipliers.
  package var factored: [Int] { matrices.indices.filter { matrices[$0].isFactored } }

  /// The sum of the ranks: the length of a flat array of multipliers.
  package var count: Int { offsets[matrices.count] }

  package func range(of index: Int) -> Range<Int> { offsets[index]..<offsets[index + 1] }

  /// The index of the matrix of that name, compared byte by byte.
  package func index(of name: String) -> Int? { indices[Array(name.utf8)] }

  /// How many coefficients each expert has, one for each unit.
  package func unitCount(_ granularity: Granularity) -> Int {
    switch granularity {
    case .vector: 1
    case .layer: layerNames.count
    case .matrix: matrixNames.count
    }
  }

  /// The names of the units, as records list them; none under `vector`, where there is nothing to tell apart.
  package func units(_ granularity: Granularity) -> [String] {
    switch granularity {
    case .vector: []
    case .layer: layerNames
    case .matrix: matrixNames
    }
  }

  /// The unit that decides over a matrix.
  package func unit(ofMatrix index: Int, _ granularity: Granularity) -> Int {
    switch granularity {
    case .vector: 0
    case .layer: layerUnits[index]
    case .matrix: matrixUnits[index]
    }
  }
}
