/// Files that hubs, git and programs keep beside those that people mean: they come with a clone or a download, say nothing of
/// what is dropped here, and are passed over wherever files are looked for by their names.
package enum BookkeepingFile {
  /// Whether a name is of one. Names are compared without regard to case.
  package static func isOne(named name: String) -> Bool {
    let lowered = name.lowercased()
    if names.contains(lowered) || endings.contains(where: lowered.hasSuffix) { return true }
    // README, README.md, README.zh-CN.md
    guard let stem = lowered.split(separator: ".").first.map(String.init), documents.contains(stem) else {
      return false
    }
    return lowered == stem || documentEndings.contains(where: lowered.hasSuffix)
  }

  private static let names: Set = [
    // Data sets of the hub, and what `save_to_disk` writes.
    "dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json", "croissant.json",
    // Models and adapters of the hub, and what trainers leave.
    "config.json", "adapter_config.json", "generation_config.json", "preprocessor_config.json", "tokenizer.json",
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt",
    "trainer_state.json", "training_args.bin", "optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state.pth",
    "all_results.json", "train_results.json", "eval_results.json", "requirements.txt",
    // Checksums, and what systems leave.
    "sha1sums", "sha256sums", "sha512sums", "md5sums", "checksums.txt", "desktop.ini", "thumbs.db", "lost+found",
    "__pycache__", "__macosx",
  ]

  private static let endings = [
    ".md5", ".sha1", ".sha256", ".sha512", ".asc", ".sig", ".lock", ".metadata", ".safetensors.index.json",
  ]

  private static let documents: Set = [
    "readme", "license", "licence", "copying", "notice", "changelog", "citation", "authors", "contributing",
    "model_card", "dataset_card", "use_policy", "acceptable_use_policy",
  ]

  private static let documentEndings = [".md", ".txt", ".rst", ".html", ".pdf", ".cff", ".bib"]
}
