import ModelFormats
import Testing

@Suite struct WrapperPrefixTests {
  private static let model: Set<String> = [
    "model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight", "model.layers.1.mlp.up_proj.weight",
    "lm_head.weight",
  ]

  private func found(in names: [String]) -> WrapperPrefix? {
    WrapperPrefix(of: names) { Self.model.contains($0) }
  }

  @Test(arguments: [
    ("_orig_mod.", "the prefix '_orig_mod.' (torch.compile)"),
    ("module.", "the prefix 'module.' (DistributedDataParallel or DeepSpeed)"),
    (
      "module._orig_mod.", "the prefix 'module._orig_mod.' (DistributedDataParallel or DeepSpeed, torch.compile)"
    ),
    ("base_model.model.", "the prefix 'base_model.model.' (PEFT)"), ("model.", "the prefix 'model.'"),
    ("_forward_module.", "the prefix '_forward_module.' (Lightning)"), ("policy.", "the prefix 'policy.' (a trainer)"),
    ("somebodys.own.", "the prefix 'somebodys.own.'"),
  ])
  func whatAllNamesShareGoesWhereTheyFitThen(prefix: String, text: String) throws {
    let wrapper = try #require(found(in: Self.model.map { prefix + $0 }))
    #expect(wrapper.prefix == prefix && wrapper.inner.isEmpty && !wrapper.isEmpty)
    #expect(wrapper.description == text)
    for name in Self.model { #expect(wrapper.strip(prefix + name) == name) }
  }

  @Test func namesThatFitAreLeftAsTheyAre() {
    #expect(found(in: Array(Self.model))?.isEmpty == true)
    #expect(found(in: ["model.layers.1.mlp.up_proj.weight"])?.isEmpty == true)
  }

  /// FSDP wraps the layers one by one, and not what is beside them.
  @Test func componentsWithinNamesGoToo() throws {
    let inside = "_fsdp_wrapped_module"
    let names = [
      "\(inside).model.embed_tokens.weight", "\(inside).model.layers.0.\(inside).mlp.up_proj.weight",
      "\(inside).lm_head.weight",
    ]
    let outer = try #require(found(in: names))
    #expect(outer.prefix == inside + "." && outer.inner == [inside])
    #expect(names.map(outer.strip).allSatisfy { Self.model.contains($0) })
    #expect(outer.description == "the prefix '\(inside).' and '\(inside)' within names (FSDP)")

    let compiled = try #require(
      found(in: ["lm_head.weight", "model.layers.1._orig_mod._checkpoint_wrapped_module.mlp.up_proj.weight"]))
    #expect(compiled.prefix.isEmpty && !compiled.isEmpty)
    #expect(
      compiled.strip("model.layers.1._orig_mod._checkpoint_wrapped_module.mlp.up_proj.weight")
        == "model.layers.1.mlp.up_proj.weight")
    #expect(
      compiled.description
        == "'_checkpoint_wrapped_module' and '_orig_mod' within names (activation checkpointing, torch.compile)")
  }

  @Test func whatOneNameLacksIsNoPrefix() {
    #expect(found(in: ["module.lm_head.weight", "model.layers.0.mlp.up_proj.weight"]) == nil)
    #expect(found(in: ["module.lm_head.weight", "_orig_mod.model.layers.0.mlp.up_proj.weight"]) == nil)
    #expect(found(in: ["module.lm_head.weight", "module.value_head.weight"]) == nil)
    #expect(found(in: ["module."]) == nil && found(in: ["."]) == nil && found(in: []) == nil)
  }

  /// For who refuses them: they are named although nothing fits.
  @Test func knownWrappersAreNamedOfNamesThatFitNothing() {
    func known(_ names: String...) -> String? { WrapperPrefix(knownIn: names)?.description }
    #expect(known("module.a.b", "module.c") == "the prefix 'module.' (DistributedDataParallel or DeepSpeed)")
    #expect(known("base_model.model.a", "base_model.model.b") == "the prefix 'base_model.model.' (PEFT)")
    #expect(known("a._orig_mod.b", "c") == "'_orig_mod' within names (torch.compile)")
    #expect(known("model.a", "model.b") == nil)
    #expect(known("module.a", "b") == nil)
    #expect(known() == nil)
  }
}
