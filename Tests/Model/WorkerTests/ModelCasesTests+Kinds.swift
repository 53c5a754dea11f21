import ModelFormats
import StrictJSON
import SystemSupport
import TestSupport

/// What is no model: directories of other kinds, single files, and GGUF files of other kinds.
extension ModelCasesTests {
  private static let conversion =
    "make safetensors of it, in NEW, and add that: python3 -c 'import sys; from transformers import AutoModelForCausalLM as "
    + "M, AutoTokenizer as T; M.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2]); "
    + "T.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2])' DIR/model NEW"

  private static let merging =
    "merge it into its model and add the result, NEW: python3 -c 'import sys; from peft import AutoPeftModelForCausalLM as "
    + "M; from transformers import AutoTokenizer as T; m = M.from_pretrained(sys.argv[1]).merge_and_unload(); "
    + "m.save_pretrained(sys.argv[2]); T.from_pretrained(m.config._name_or_path).save_pretrained(sys.argv[2])' DIR/model NEW"

  /// Of a directory from which `SampleModel.remove` takes what a model has.
  private static func emptied(
    _ name: String, _ message: String, _ make: @escaping @Sendable (SampleModel) throws -> Void
  ) -> Case {
    .model(name, .refused(message)) {
      try $0.remove("config.json", "tokenizer.json", SampleModel.single)
      try make($0)
    }
  }

  static let notModels: [Case] = [
    .model(
      "hf-bin",
      .refused(
        "'DIR/model' is a model in PyTorch's format only ('pytorch_model.bin'), which is not read; " + conversion)
    ) {
      try $0.remove(SampleModel.single)
      try $0.write("pytorch_model.bin", "PK\u{3}\u{4}" + String(repeating: "\0", count: 60))
    },
    .model(
      "shards of PyTorch's",
      .refused(
        "'DIR/model' is a model in PyTorch's format only ('pytorch_model-00001-of-00002.bin'), which is not read; "
          + conversion)
    ) {
      try $0.remove(SampleModel.single)
      try $0.write("pytorch_model-00001-of-00002.bin", "PK\u{3}\u{4}" + String(repeating: "\0", count: 60))
    },
    .model(
      "an LFS pointer for PyTorch's file",
      .refused(
        "'DIR/model/pytorch_model.bin' is a Git LFS pointer, not the file of 269060552 bytes that it stands for; run 'git lfs "
          + "pull' where it was cloned")
    ) {
      try $0.remove(SampleModel.single)
      try $0.write("pytorch_model.bin", SampleModel.pointer)
    },
    .model(
      "ONNX only",
      .refused(
        "'DIR/model' is a model in another format only ('model.onnx'); take the same model with model.safetensors, or a GGUF "
          + "file")
    ) { try $0.rename(SampleModel.single, to: "model.onnx") },
    .model(
      "no weights",
      .refused(
        "'DIR/model' is a directory with config.json and without weights; download 'model.safetensors', or "
          + "'model.safetensors.index.json' and its shards, too")
    ) { try $0.remove(SampleModel.single) },
    .model(
      "weights of another name",
      .refused(
        "'DIR/model': the weights are looked for in 'model.safetensors', and there is 'model.fp16.safetensors'; where that is "
          + "the whole model, rename it")
    ) { try $0.rename(SampleModel.single, to: "model.fp16.safetensors") },
    .model(
      "weights on their way to a cache",
      .refused(
        "'DIR/model/model.safetensors' is a download that is not at its end, since '.cache/huggingface/download/x.incomplete' "
          + "lies beside it; wait for its end, or remove '.cache/huggingface/download/x.incomplete' where the file is whole"
      )
    ) {
      try $0.makeDirectory(".cache/huggingface/download")
      try $0.rename(SampleModel.single, to: ".cache/huggingface/download/x.incomplete")
    },
    emptied("peft-adapter", "'DIR/model' is a LoRA adapter of the model 'org/base' (PEFT), not a model; " + merging) {
      try $0.write("adapter_config.json", ["peft_type": "LORA", "base_model_name_or_path": "org/base", "r": 2])
      try $0.write("adapter_model.safetensors", $0.renamed { "base_model.model." + $0 })
    },
    emptied(
      "an adapter of prompts",
      "'DIR/model' is an adapter of type PREFIX_TUNING of the model 'org/base' (PEFT), not a model; it changes no weights and "
        + "cannot become a part of its model; add that model alone"
    ) {
      try $0.write("adapter_config.json", ["peft_type": "PREFIX_TUNING", "base_model_name_or_path": "org/base"])
    },
    emptied("an adapter without its configuration", "'DIR/model' is an adapter (PEFT), not a model; " + merging) {
      try $0.write("adapter_model.bin", "PK")
    },
    emptied(
      "a tokenizer only",
      "'DIR/model' is a tokenizer without a model (tokenizer.json, tokenizer_config.json); a model's directory has "
        + "config.json and model.safetensors too"
    ) {
      try $0.write("tokenizer.json", "{}")
      try $0.write("tokenizer_config.json", "{}")
    },
    .model(
      "weights without a configuration",
      .refused(
        "'DIR/model' is a directory with 'model.safetensors' and without config.json; copy config.json, and tokenizer.json, "
          + "from where the weights come from")
    ) { try $0.remove("config.json") },
    emptied(
      "an empty directory",
      "'DIR/model' is an empty directory; a model is a GGUF file, or a directory with config.json and *.safetensors"
    ) { _ in },
    emptied(
      "a directory of GGUF files",
      "'DIR/model' is a directory of GGUF files (a.Q4_0.gguf, a.Q8_0.gguf); add one of them: t2ctl model add "
        + "DIR/model/a.Q4_0.gguf"
    ) {
      try $0.write("a.Q8_0.gguf", "GGUF")
      try $0.write("a.Q4_0.gguf", "GGUF")
    },
    emptied(
      "the directory of a training",
      "'DIR/model' is a directory without config.json, in which there are models (checkpoint-10, checkpoint-20); add one of "
        + "them: t2ctl model add DIR/model/checkpoint-10"
    ) {
      for name in ["checkpoint-20", "checkpoint-10", "runs"] { try $0.makeDirectory(name) }
      for name in ["checkpoint-20", "checkpoint-10"] { try $0.write(name + "/config.json", "{}") }
    },
    Case(
      "models--org--tiny",
      .refused(
        "'DIR/models--org--tiny' is a model's directory in the hub's cache; add its snapshot, which is the current one by "
          + "refs/main: t2ctl model add DIR/models--org--tiny/snapshots/b1; there are also a0")
    ) { try $0.makeHubCache() },
    Case("a snapshot", .read([])) { try $0.makeHubCache() + "/snapshots/b1" },
    Case(
      "a cache's blobs",
      .refused(
        "'DIR/models--org--tiny/blobs' is a part of a model's directory in the hub's cache; add its snapshot, which is the "
          + "current one by refs/main: t2ctl model add DIR/models--org--tiny/snapshots/b1; there are also a0")
    ) { try $0.makeHubCache() + "/blobs" },
    Case(
      "the cache itself",
      .refused(
        "'DIR' is the hub's cache, with models--org--tiny; add a snapshot of one of them, such as those in "
          + "DIR/models--org--tiny/snapshots")
    ) {
      _ = try $0.makeHubCache()
      return $0.directory
    },
    Case(
      "a cache beside models",
      .refused(
        "'DIR' is a directory without config.json, in which there are models (model); add one of them: t2ctl model add "
          + "DIR/model")
    ) {
      let root = try $0.makeHubCache()
      for name in ["config.json", "tokenizer.json", SampleModel.single] {
        try $0.link(name, to: root + "/snapshots/b1/" + name)
      }
      return $0.directory
    },
    Case(
      "a snapshot without its configuration",
      .refused(
        "'DIR/models--org--tiny/snapshots/b1/config.json' is a download that is not at its end, since "
          + "'../../blobs/c0.incomplete' lies beside it; wait for its end, or remove '../../blobs/c0.incomplete' where the "
          + "file is whole")
    ) {
      let root = try $0.makeHubCache()
      _ = try FileSystem.remove(root + "/snapshots/b1/config.json")
      try FileSystem.rename(root + "/blobs/c0", to: root + "/blobs/c0.incomplete")
      return root + "/snapshots/b1"
    },
    Case(
      "one file of a model",
      .refused("'DIR/model/model.safetensors' is one file of a model; add its directory: t2ctl model add DIR/model")
    ) { $0.path + "/" + SampleModel.single },
    Case(
      "a configuration",
      .refused("'DIR/model/config.json' is one file of a model; add its directory: t2ctl model add DIR/model")
    ) { $0.path + "/config.json" },
    Case(
      "a single safetensors file",
      .refused(
        "'DIR/model/model.safetensors' is a safetensors file without a config.json beside it; a model is the directory that "
          + "has both; an expert is registered with t2ctl expert register")
    ) {
      try $0.remove("config.json")
      return $0.path + "/" + SampleModel.single
    },
  ]

  /// The tiny model with other metadata.
  private static func gguf(_ change: (inout SyntheticGGUF) -> Void) -> [UInt8] {
    var file = SyntheticGGUF.tinyLlama()
    change(&file)
    return file.build()
  }

  static let ggufs: [Case] = [
    .file(
      "gguf-split-00002-of-00002.gguf",
      .refused(
        "'DIR/tiny-00002-of-00002.gguf': it is part 2 of 2, of which these are not beside it: tiny-00001-of-00002.gguf; "
          + "download all parts into one directory"), named: "tiny-00002-of-00002.gguf"
    ) {
      var part = SyntheticGGUF()
      part.set("split.no", UInt32(1))
      part.set("split.count", UInt32(2))
      part.add("blk.0.ffn_down.weight", [12, 8], floats: [Float](repeating: 1, count: 96))
      return part.build()
    },
    .file(
      "the first part of a split GGUF",
      .refused(
        "'DIR/one.gguf': it is part 1 of 2 of a split GGUF file, and its name does not say so; name the parts as they were, "
          + "such as MODEL-00001-of-00002.gguf"), named: "one.gguf"
    ) {
      gguf {
        $0.set("split.no", UInt32(0))
        $0.set("split.count", UInt32(2))
        $0.tensors.removeLast(3)
      }
    },
    .file(
      "gguf-lora.gguf",
      .refused(
        "'DIR/lora.gguf' is a LoRA adapter of the model 'Tiny', not a model; merge it into its model, BASE.gguf, and add the "
          + "result: llama-export-lora -m BASE.gguf --lora DIR/lora.gguf -o MERGED.gguf"), named: "lora.gguf"
    ) {
      var adapter = SyntheticGGUF()
      adapter.set("general.architecture", "llama")
      adapter.set("general.type", "adapter")
      adapter.set("adapter.type", "lora")
      adapter.set("general.base_model.0.name", "Tiny")
      adapter.add("blk.0.attn_q.weight.lora_a", [8, 2], floats: [Float](repeating: 1, count: 16))
      return adapter.build()
    },
    .file(
      "gguf-lfs.gguf",
      .refused(
        "'DIR/m.gguf' is a Git LFS pointer, not the file of 269060552 bytes that it stands for; run 'git lfs pull' where it "
          + "was cloned"), named: "m.gguf"
    ) { Array(SampleModel.pointer.utf8) },
    .file(
      "gguf-vocab-only.gguf",
      .refused(
        "'DIR/vocab.gguf' is a vocabulary without a model: it holds no tensor; add the GGUF file of the model that it belongs "
          + "to"), named: "vocab.gguf"
    ) { gguf { $0.tensors = [] } },
    .file(
      "mmproj",
      .refused(
        "'DIR/mmproj.gguf' is the part of a model that reads pictures or sound (mmproj), not a language model; add the GGUF "
          + "file of its language model"), named: "mmproj.gguf"
    ) {
      var file = SyntheticGGUF()
      file.set("general.architecture", "clip")
      file.add("v.patch_embd.weight", [8], floats: [Float](repeating: 1, count: 8))
      return file.build()
    },
    .file(
      "an importance matrix",
      .refused(
        "'DIR/imatrix.gguf' is an importance matrix, by which models are quantised, not a model; add the GGUF file of the "
          + "model"), named: "imatrix.gguf"
    ) {
      var file = SyntheticGGUF()
      file.set("general.type", "imatrix")
      file.add("blk.0.ffn_down.weight.in_sum2", [8], floats: [Float](repeating: 1, count: 8))
      return file.build()
    },
    .file(
      "a kind that nobody knows yet",
      .refused(
        "'DIR/m.gguf' is a GGUF file whose 'general.type' is 'sampler', not 'model'; a model is a GGUF file, or a directory "
          + "with config.json and *.safetensors"), named: "m.gguf"
    ) { gguf { $0.set("general.type", "sampler") } },
    .file(
      "another architecture, in a type that is not read",
      .refused(
        "'DIR/m.gguf': the architecture is \"gemma2\"; supported: \"llama\", \"qwen2\", \"qwen3\", \"gemma3\", \"phi3\", "
          + "\"smollm3\""),
      named: "m.gguf"
    ) {
      gguf {
        $0.remove("general.architecture")
        $0.set("general.architecture", "gemma2")
        $0.tensors[0].type = 12
      }
    },
    .file(
      "a part by bytes",
      .refused(
        "'DIR/m.gguf.part1of2': it is by its name one of the parts into which a file was cut; join them in their order and "
          + "add the whole: cat PART1 PART2 ... > DIR/m.gguf"), named: "m.gguf.part1of2"
    ) { Array(gguf { _ in }.prefix(900)) },
    .file(
      "a browser's download",
      .refused(
        "'DIR/m.gguf.crdownload' is by its name a download that is not at its end; wait for it, or rename the file where it is "
          + "whole"), named: "m.gguf.crdownload"
    ) { gguf { _ in } },
    .file(
      "GGML",
      .refused(
        "'DIR/m.bin' is a GGML file, which GGUF came after; convert it with llama.cpp's convert_llama_ggml_to_gguf.py, or take "
          + "the model's GGUF file"), named: "m.bin"
    ) { Array("tjgg".utf8) + [UInt8](repeating: 0, count: 100) },
    .file(
      "a pickle",
      .refused("'DIR/m.pth' is a pickle; take the same model as a GGUF file, or as a directory with model.safetensors"),
      named: "m.pth"
    ) { [0x80, 2, 0x7D, 0x71] },
    .file("an empty file", .refused("'DIR/m.gguf' is an empty file; copy or download it again"), named: "m.gguf") {
      []
    },
    .file("an archive", .refused("'DIR/m.gguf' is a gzip archive; unpack it first: gunzip"), named: "m.gguf") {
      [0x1F, 0x8B, 8, 0, 0]
    },
  ]
}
