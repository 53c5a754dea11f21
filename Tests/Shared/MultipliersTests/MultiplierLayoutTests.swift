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
}
