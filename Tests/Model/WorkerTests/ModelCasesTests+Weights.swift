import ModelFormats
import StrictJSON

/// The weights of a directory: their parts, what is beside them, and the names in them.
extension ModelCasesTests {
  private static let ggufTypes = ElementType.allCases.map(\.rawValue).joined(separator: ", ")

  static let weights: [Case] = [
    .model("plain", .read([])) { _ in },
    .model(
      "hf-stale-index",
      .read([
        "'model.safetensors' was read; 'model.safetensors.index.json' is not of it: it names shards that are not there "
          + "(model-00001-of-00002.safetensors, model-00002-of-00002.safetensors); remove the index, or get the shards and "
          + "remove 'model.safetensors' where they are the model"
      ])
    ) { try $0.writeIndex() },
    .model(
      "hf-stale-index-old-shards",
      .refused(
        "'DIR/model': 'model.safetensors' and 'model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors' may "
          + "each be the model's weights; remove those that are not, and 'model.safetensors.index.json' with the shards that "
          + "it names")
    ) {
      try $0.writeIndex()
      try $0.writeShards(scale: 0)
    },
    .model(
      "an index, one of its shards, and a single file",
      .refused(
        "'DIR/model': 'model.safetensors' and 'model-00002-of-00002.safetensors' may each be the model's weights; remove "
          + "those that are not, and 'model.safetensors.index.json' with the shards that it names")
    ) {
      try $0.writeIndex()
      try $0.writeShards([2], scale: 0)
    },
    .model(
      "an index whose shards are on their way, beside an older single file",
      .refused(
        "'DIR/model/model-00001-of-00002.safetensors' is a download that is not at its end, since "
          + "'model-00001-of-00002.safetensors.aria2' lies beside it; wait for its end, or remove "
          + "'model-00001-of-00002.safetensors.aria2' where the file is whole")
    ) {
      try $0.writeIndex()
      try $0.write(SampleModel.shard(1) + ".aria2", "\0")
    },
    .model("shards with their index", .read([])) {
      try $0.writeShards()
      try $0.writeIndex()
      try $0.remove(SampleModel.single)
    },
    .model("an index of the single file", .read([])) { sample in
      try sample.writeIndex(
        places: Dictionary(uniqueKeysWithValues: sample.tensors.map { ($0.name, SampleModel.single) }))
    },
    .model(
      "a missing shard",
      .refused(
        "'DIR/model': 'model-00002-of-00003.safetensors', which 'model.safetensors.index.json' names, is not there; there "
          + "are model-00001-of-00003.safetensors, model-00003-of-00003.safetensors; download or copy what is missing")
    ) {
      try $0.writeShards([1, 3], of: 3)
      try $0.writeIndex(of: 3)
      try $0.remove(SampleModel.single)
    },
    .model(
      "a missing shard that is on its way",
      .refused(
        "'DIR/model/model-00002-of-00002.safetensors' is a download that is not at its end, since "
          + "'model-00002-of-00002.safetensors.part' lies beside it; wait for its end, or remove "
          + "'model-00002-of-00002.safetensors.part' where the file is whole")
    ) {
      try $0.writeShards([1])
      try $0.writeIndex()
      try $0.write(SampleModel.shard(2) + ".part", "half")
      try $0.remove(SampleModel.single)
    },
    .model(
      "hf-shards-noindex",
      .read([
        "there is no 'model.safetensors.index.json'; the 2 shards were read together, since their numbers are whole and no "
          + "tensor is in two of them"
      ])
    ) {
      try $0.writeShards()
      try $0.remove(SampleModel.single)
    },
    .model(
      "shards without an index, and not all",
      .refused(
        "'DIR/model': 'model-00001-of-00003.safetensors', by the numbers of those that are there, is not there; there are "
          + "model-00002-of-00003.safetensors, model-00003-of-00003.safetensors; download or copy what is missing")
    ) {
      try $0.writeShards([2, 3], of: 3)
      try $0.remove(SampleModel.single)
    },
    .model(
      "shards of two sets",
      .refused(
        "'DIR/model': the shards of 'model.safetensors.index.json' and 'model-00001-of-00003.safetensors' may each be the "
          + "model's weights; remove those that are not, and 'model.safetensors.index.json' with the shards that it names"
      )
    ) {
      try $0.writeShards()
      try $0.writeIndex()
      try $0.writeShards([1], of: 3)
      try $0.remove(SampleModel.single)
    },
    .model(
      "a tensor in two shards",
      .refused(
        "'DIR/model': tensor 'model.embed_tokens.weight' is in 'model-00001-of-00002.safetensors' and in "
          + "'model-00002-of-00002.safetensors'; get the shards anew from one place; these are not of one model")
    ) {
      try $0.writeShards()
      try $0.write(
        SampleModel.shard(2), [$0.tensors[0]] + $0.tensors.enumerated().filter { $0.offset % 2 == 1 }.map(\.element))
      try $0.writeIndex()
      try $0.remove(SampleModel.single)
    },
    .model(
      "an index that places a tensor in another shard",
      .refused(
        "'DIR/model/model-00002-of-00002.safetensors': there is no tensor 'model.embed_tokens.weight', which "
          + "'model.safetensors.index.json' places there; it is in 'model-00001-of-00002.safetensors'; get the index and its "
          + "shards anew from one place")
    ) {
      try $0.writeShards()
      try $0.writeIndex(places: ["model.embed_tokens.weight": SampleModel.shard(2)])
      try $0.remove(SampleModel.single)
    },
    .model(
      "an index of another size",
      .read([
        "'model.safetensors.index.json' says that the tensors have 1 bytes, and its shards have 61920; are they of one model?"
      ])
    ) {
      try $0.writeShards()
      try $0.writeIndex(totalBytes: 1)
      try $0.remove(SampleModel.single)
    },
    .model(
      "hf-lfs",
      .refused(
        "'DIR/model/model.safetensors' is a Git LFS pointer, not the file of 269060552 bytes that it stands for; run 'git lfs "
          + "pull' where it was cloned")
    ) { try $0.write(SampleModel.single, SampleModel.pointer) },
    .model(
      "an LFS pointer for the tokenizer",
      .refused(
        "'DIR/model/tokenizer.json' is a Git LFS pointer, not the file of 269060552 bytes that it stands for; run 'git lfs "
          + "pull' where it was cloned")
    ) { try $0.write("tokenizer.json", SampleModel.pointer) },
    .model(
      "a page for the configuration",
      .refused("'DIR/model/config.json' is a web page, with the title 'Sign in'; download the file itself")
    ) { try $0.write("config.json", SampleModel.page) },
    .model(
      "a server's error for the index",
      .refused(
        "'DIR/model/model.safetensors.index.json' is a server's message: '{\"error\":\"Repository not found\"}'; download the "
          + "file itself")
    ) { try $0.write(SampleModel.index, #"{"error":"Repository not found"}"#) },
    .model(
      "a word for the configuration",
      .refused("'DIR/model/config.json' is damaged: the file: it does not begin with '{', as a JSON object does")
    ) { try $0.write("config.json", "vanished") },
    .model(
      "zeros for the weights",
      .refused(
        "'DIR/model/model.safetensors' is a file of zeros, as an unfinished download leaves it; copy or download it again"
      )
    ) { try $0.write(SampleModel.single, String(repeating: "\0", count: 9000)) },
    .model("a byte order mark", .read([])) { try $0.addByteOrderMark("config.json") },
    .model(
      "a download's control file",
      .refused(
        "'DIR/model/model.safetensors' is a download that is not at its end, since 'model.safetensors.aria2' lies beside it; "
          + "wait for its end, or remove 'model.safetensors.aria2' where the file is whole")
    ) { try $0.write(SampleModel.single + ".aria2", "\0\u{1}") },
    .model(
      "a link to nothing",
      .refused(
        "'DIR/model/model.safetensors': it is a symbolic link to a file that is not there; copy the directory where it is "
          + "whole, with the files that its links lead to: cp -rL")
    ) {
      try $0.remove(SampleModel.single)
      try $0.link(SampleModel.single, to: "../../blobs/c3c3")
    },
    .model(
      "hf-orig-mod",
      .read(["the names of the tensors have the prefix '_orig_mod.' (torch.compile), without which they were read"])
    ) { try $0.write(SampleModel.single, $0.renamed { "_orig_mod." + $0 }) },
    .model(
      "nested wrappers",
      .read([
        "the names of the tensors have the prefix 'module._orig_mod.' (DistributedDataParallel or DeepSpeed, torch.compile), "
          + "without which they were read"
      ])
    ) { try $0.write(SampleModel.single, $0.renamed { "module._orig_mod." + $0 }) },
    .model(
      "a wrapper around something else",
      .refused(
        "'DIR/model': a tensor is 'module.bert.embed_tokens.weight'; all names have the prefix 'module.' "
          + "(DistributedDataParallel or DeepSpeed), and do not fit without it either; supported: those of LlamaForCausalLM "
          + "with 2 layers")
    ) { try $0.write(SampleModel.single, $0.renamed { "module." + $0.replacing("model.", with: "bert.") }) },
    .model("a head that is the embedding", .read([])) {
      try $0.write(SampleModel.single, $0.tensors + [$0.head(scale: 1)])
    },
    .model(
      "a head of its own beside a tied embedding",
      .refused(
        "'DIR/model': 'model.embed_tokens.weight' and 'lm_head.weight' differ, and \"tie_word_embeddings\" of config.json says "
          + "that one is the other; where the model has a head of its own, set \"tie_word_embeddings\" to false; else save it "
          + "without 'lm_head.weight'")
    ) { try $0.write(SampleModel.single, $0.tensors + [$0.head(scale: 2)]) },
    .model(
      "GPTQ",
      .refused(
        "'DIR/model/config.json': the quantisation (\"quantization_config\") is \"gptq\", 4 bits; supported: weights of F32, "
          + "F16, BF16, F64; add the model that this was made of, or a GGUF file of it of \(ggufTypes)"
      )
    ) {
      try $0.change("config.json", [("quantization_config", ["quant_method": "gptq", "bits": 4, "group_size": 128])])
    },
    .model(
      "MLX",
      .refused(
        "'DIR/model/config.json': the quantisation (\"quantization\") is 4 bits; supported: weights of F32, F16, BF16, F64; add "
          + "the model that this was made of, or a GGUF file of it of \(ggufTypes)")
    ) { try $0.change("config.json", [("quantization", ["bits": 4, "group_size": 64])]) },
    .model(
      "quantised without a word in the configuration",
      .refused(
        "'DIR/model': a tensor is 'model.layers.0.mlp.up_proj.qweight', which is a part of quantised weights; supported: "
          + "weights of F32, F16, BF16, F64; add the model that this was made of, or a GGUF file of it of \(ggufTypes)")
    ) {
      try $0.write(
        SampleModel.single,
        $0.renamed { $0 == "model.layers.0.mlp.up_proj.weight" ? $0.replacing(".weight", with: ".qweight") : $0 })
    },
    .model(
      "an adapter beside the model",
      .read(["'adapter_config.json' of an adapter lies beside the model, and the adapter is not applied"])
    ) { try $0.write("adapter_config.json", ["peft_type": "LORA"]) },
  ]
}
