import FileKinds

/// Endings of files that someone meant to drop and that are not read, with what to do about them.
struct RefusedEnding: Sendable {
  let endings: [String]
  /// A kind, a colon and the advice, in which FILE stands for the file's name and STEM for it without the ending.
  let advice: String

  init(_ endings: String..., advice: String) {
    self.endings = endings
    self.advice = advice
  }

  /// What is said of a file. A name that a shell would not take as it is stays out of the command.
  func reason(_ name: [UInt8]) -> String {
    let ending = endings.first(where: name.hasEnding) ?? ""
    let isPlain = NameRules.isPlain(name) && name.count > ending.utf8.count
    let file = isPlain ? String(decoding: name, as: UTF8.self) : "FILE" + ending
    let stem = String(decoding: file.utf8.dropLast(ending.utf8.count), as: UTF8.self)
    // `arc.jsonl.txt`, as editors name it that hide endings, is not to be `arc.jsonl.jsonl`.
    let made = [".jsonl", ".safetensors"].first(where: Array(stem.utf8).hasEnding) ?? ""
    return advice.replacing("STEM" + made, with: "\u{0}").replacing("STEM", with: "\u{0}")
      .replacing("FILE", with: file).replacing("\u{0}", with: stem)
  }

  /// The longer ones first: `rows.tar.gz` is unpacked at once.
  static let archives: [RefusedEnding] =
    [RefusedEnding(".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", advice: packed(.tar))]
    + ([
      (.gzip, [".gz"]), (.zip, [".zip"]), (.bzip2, [".bz2"]), (.xz, [".xz"]), (.zstd, [".zst", ".zstd"]),
      (.lz4, [".lz4"]), (.sevenZip, [".7z"]), (.rar, [".rar"]),
    ] as [(FileKind.Archive, [String])]).map { RefusedEnding(endings: $1, advice: packed($0)) }

  private static func packed(_ archive: FileKind.Archive) -> String {
    "packed: this is \(FileKind.archive(archive).name); unpack it: \(archive.command) FILE"
  }

  private init(endings: [String], advice: String) {
    self.endings = endings
    self.advice = advice
  }

  static let inPlaceOfExperts = [
    RefusedEnding(".pt", ".pth", advice: "pickle_not_supported: import it with t2ctl expert import"),
    RefusedEnding(
      ".pkl", ".pickle", ".ckpt", ".bin",
      advice: "pickle_not_supported: save it as safetensors: python3 -c \"import torch, safetensors.torch; "
        + "safetensors.torch.save_file(torch.load('FILE', weights_only=True), 'STEM.safetensors')\""),
    RefusedEnding(
      ".npz",
      advice: "not_an_expert: save it as safetensors: python3 -c \"import numpy, safetensors.numpy; "
        + "safetensors.numpy.save_file(dict(numpy.load('FILE')), 'STEM.safetensors')\""),
    RefusedEnding(
      ".npy", ".h5", ".hdf5", ".msgpack", ".onnx", ".ot", ".tflite", ".mlmodel",
      advice: "not_an_expert: this is another program's format; save its vectors as STEM.safetensors"),
    RefusedEnding(".gguf", ".ggml", advice: "not_an_expert: a model is registered with t2ctl model add"),
  ]

  static let inPlaceOfRows = [
    table(.parquet, ".parquet", ".pq"), table(.arrow, ".feather", ".ipc"), table(.excel, ".xlsx", ".xls", ".ods"),
    // Not what pandas calls feather: `datasets` writes Arrow's stream.
    RefusedEnding(
      ".arrow",
      advice: "not_a_task: this is an Arrow table; convert it: python3 -c \"import datasets; "
        + "datasets.Dataset.from_file('FILE').to_json('STEM.jsonl')\""),
    RefusedEnding(
      ".yaml", ".yml",
      advice: "not_a_task: this is YAML; convert a list of rows: python3 -c \"import json, yaml; "
        + "[print(json.dumps(row)) for row in yaml.safe_load(open('FILE'))]\" > STEM.jsonl"),
    RefusedEnding(
      ".txt",
      advice: "not_a_task: plain text does not say what is asked and what is right; write a JSON object a line into "
        + "STEM.jsonl, or where that is in it: mv FILE STEM.jsonl"),
    RefusedEnding(
      ".pkl", ".pickle",
      advice: "not_a_task: a pickle is a program, which is not run; write the rows where it was made: "
        + "to_json('STEM.jsonl', orient='records', lines=True)"),
    RefusedEnding(
      ".xml", ".html", ".htm", ".db", ".sqlite", ".sqlite3", ".h5", ".hdf5", ".npy", ".npz", ".avro", ".orc",
      ".tfrecord",
      ".pdf", ".docx",
      advice: "not_a_task: rows are not read from such a file; write a JSON object a line into STEM.jsonl"),
  ]

  private static func table(_ table: FileKind.Table, _ endings: String...) -> RefusedEnding {
    RefusedEnding(
      endings: endings,
      advice: "not_a_task: this is \(FileKind.table(table).name)"
        + (table.conversion(of: "FILE", to: "STEM.jsonl").map { "; convert it: \($0)" } ?? ""))
  }
}
