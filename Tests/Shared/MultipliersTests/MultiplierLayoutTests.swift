import Multipliers
import Testing

@Suite struct MultiplierLayoutTests {
  @Test func matricesLieOneAfterTheOther() {
    #expect(layout.count == 3 + 2 + 3 + 2)
    #expect(layout.range(of: 0) == 0..<3)
    #expect(layout.range(of: 2) == 5..<8)
    #expect(layout.index(of: "lm_head.weight") == 3)
    #expect(layout.index(of: "model.layers.2.self_attn.q_proj.weight") == nil)
  }

  @Test func namesAreComparedByBytes() {
    let composed = MultiplierLayout([TargetMatrix(name: "\u{E9}", rows: 1, columns: 1, layer: nil)])
    #expect(composed.index(of: "\u{E9}") == 0)
    #expect(composed.index(of: "e\u{301}") == nil)
  }

  @Test func aMatrixOutsideTheLayersIsAUnitOfItsOwn() {
    #expect(layout.units(.vector) == [])
    #expect(layout.units(.layer) == ["model.layers.0", "model.layers.1", "lm_head.weight"])
    #expect(layout.units(.matrix) == layout.matrices.map(\.name))
    #expect(layout.matrices.indices.map { layout.unit(ofMatrix: $0, .layer) } == [0, 0, 1, 2])
    for granularity in Granularity.allCases where granularity != .vector {
      #expect(layout.unitCount(granularity) == layout.units(granularity).count)
    }
  }

  @Test func aMatrixThatIsNotFactoredHasItsPlaceAndNoMultipliers() {
    let part = MultiplierLayout(
      layout.matrices.map {
        TargetMatrix(
          name: $0.name, rows: $0.rows, columns: $0.columns, layer: $0.layer, isFactored: !$0.name.contains("q_proj"))
      })
    #expect(part.count == 2 + 2 && part.factored == [1, 3])
    #expect(part.index(of: "lm_head.weight") == 3 && part.range(of: 3) == 2..<4 && part.range(of: 2).isEmpty)
    #expect(part.matrices[2].rank == 0 && part.matrices[2].shortSide == 3)
    #expect(part.units(.matrix) == ["model.layers.0.mlp.down_proj.weight", "lm_head.weight"])
    #expect(part.unitCount(.matrix) == 2 && part.unit(ofMatrix: 3, .matrix) == 1)
    #expect(part != layout && part.factoredModules == ["down_proj"] && layout.factoredModules == nil)
  }

  @Test func modulesAreGroupsAndProjectionsByTheirNames() throws {
    #expect(try layout.matrices(ofModules: []) == [0, 1, 2, 3])
    #expect(try layout.matrices(ofModules: ["mlp"]) == [1])
    #expect(try layout.matrices(ofModules: ["q_proj", "down_proj"]) == [0, 1, 2])
    #expect(try layout.matrices(ofModules: ["attention", "q_proj"]) == [0, 2])
    let error = #expect(throws: UnknownModule.self) { try layout.matrices(ofModules: ["mlp", "lm_head"]) }
    #expect(
      error?.description
        == "the model has no target matrices 'lm_head'; modules are mlp, attention, down_proj, q_proj")
  }

  /// One file for all matrices, and another for each choice of them.
  @Test func theFileOfAFactorizationIsNamedByWhatIsFactored() {
    #expect(layout.factorizationFileName(ofModel: "sha256:ab") == "sha256-ab.svf")
    var matrices = layout.matrices
    matrices[0].isFactored = false
    matrices[3].isFactored = false
    #expect(
      MultiplierLayout(matrices).factorizationFileName(ofModel: "sha256:ab") == "sha256-ab.down_proj+q_proj.svf")
  }
}
