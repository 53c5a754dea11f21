import Testing
import Watcher

struct NameRulesTests {
  @Test(arguments: ["a.safetensors", "Science-2.v1_final.safetensors", "0.safetensors", "A.SAFETENSORS"])
  func plainNamesAreAccepted(name: String) {
    #expect(NameRules.experts.verdict(Array(name.utf8), isDirectory: false) == .accepted(name))
  }

  @Test(arguments: [
    (".a.safetensors.Xy12", "hidden"), (".nfs0001", "hidden"), ("a.safetensors~", "temporary"),
    ("a.safetensors.part", "temporary"), ("a.safetensors.tmp", "temporary"), ("a.crdownload", "temporary"),
    (".a.safetensors.swp", "hidden"), ("4913", "ending"), ("sedAbC123", "ending"), ("#a#", "ending"),
    ("A.SAFETENSORS.PART", "temporary"), ("README", "bookkeeping"), (".safetensors", "hidden"), ("", "empty"),
  ])
  func temporaryAndOtherNamesAreIgnored(name: String, rule: String) {
    #expect(NameRules.experts.verdict(Array(name.utf8), isDirectory: false) == .ignored(rule: rule))
  }

  @Test(arguments: NameRules.downloadEndings)
  func theSignOfADownloadIsNoDroppedFile(ending: String) {
    for rules in [NameRules.experts, .jsonTasks] {
      let verdict = rules.verdict(Array(("a.safetensors" + ending).utf8), isDirectory: false)
      #expect(verdict == .ignored(rule: "temporary"))
    }
  }

  @Test(arguments: ["-rf.safetensors", "a b.safetensors", "a\n.safetensors", "\u{1B}[2J.safetensors", "ä.safetensors"])
  func namesThatCouldDoHarmAreRejected(name: String) {
    let verdict = NameRules.experts.verdict(Array(name.utf8), isDirectory: false)
    #expect(verdict == .rejected(reason: "bad_name: only letters, digits, '.', '_' and '-' are allowed"))
  }

  @Test func brokenUTF8AndLongNamesAreRejected() {
    let broken = [0xFF, 0x61] + Array(".safetensors".utf8)
    guard case .rejected = NameRules.experts.verdict(broken, isDirectory: false) else {
      Issue.record("accepted")
      return
    }
    let long = Array((String(repeating: "a", count: 128) + ".safetensors").utf8)
    #expect(NameRules.experts.verdict(long, isDirectory: false) == .rejected(reason: "bad_name: longer than 139 bytes"))
    #expect(
      NameRules.experts.verdict(Array(long.dropFirst()), isDirectory: false)
        == .accepted(String(repeating: "a", count: 127) + ".safetensors"))
  }

  @Test func aPickleIsRefusedWithWhatToDo() {
    #expect(
      NameRules.experts.verdict(Array("gsm8k.pt".utf8), isDirectory: false)
        == .rejected(reason: "pickle_not_supported: import it with t2ctl expert import"))
  }

  @Test func onlyTasksAreDirectories() {
    #expect(NameRules.jsonTasks.verdict(Array("arc".utf8), isDirectory: true) == .accepted("arc"))
    #expect(NameRules.jsonTasks.verdict(Array("arc.jsonl".utf8), isDirectory: false) == .accepted("arc.jsonl"))
    #expect(NameRules.jsonTasks.verdict(Array("arc".utf8), isDirectory: false) == .ignored(rule: "ending"))
    #expect(NameRules.experts.verdict(Array("a.safetensors".utf8), isDirectory: true) == .ignored(rule: "directory"))
  }

  @Test(arguments: ["arc.jsonl", "D.JSONL", "arc.csv", "e.Csv", "f.json"])
  func rowsEndInLettersOfEitherCase(name: String) {
    #expect(NameRules.jsonTasks.verdict(Array(name.utf8), isDirectory: false) == .accepted(name))
  }

  /// What comes with a clone, a training or a checksum, beside rows and beside experts.
  @Test(arguments: [
    "dataset_infos.json", "dataset_info.json", "README.md", "README", "LICENSE.txt", "Readme.zh-CN.md", "config.json",
    "adapter_config.json", "a.safetensors.sha256", "SHA256SUMS", "tokenizer.json", "training_args.bin", "optimizer.pt",
    "model.safetensors.index.json", "lost+found", "__pycache__",
  ])
  func whatHubsAndProgramsKeepBesideIsPassedOver(name: String) {
    for rules in [NameRules.experts, .jsonTasks] {
      for isDirectory in [false, true] {
        #expect(rules.verdict(Array(name.utf8), isDirectory: isDirectory) == .ignored(rule: "bookkeeping"))
      }
    }
    #expect(NameRules.jsonTasks.explanation(ofIgnored: "bookkeeping").contains("if it is meant, rename it"))
  }

  @Test(arguments: [
    (
      "a.parquet",
      "not_a_task: this is a Parquet table; convert it: python3 -c \"import pandas; "
        + "pandas.read_parquet('a.parquet').to_json('a.jsonl', orient='records', lines=True)\""
    ),
    (
      "A.PARQUET",
      "not_a_task: this is a Parquet table; convert it: python3 -c \"import pandas; "
        + "pandas.read_parquet('A.PARQUET').to_json('A.jsonl', orient='records', lines=True)\""
    ),
    (
      "h.arrow",
      "not_a_task: this is an Arrow table; convert it: python3 -c \"import datasets; "
        + "datasets.Dataset.from_file('h.arrow').to_json('h.jsonl')\""
    ),
    (
      "x.xlsx",
      "not_a_task: this is an Excel table; convert it: python3 -c \"import pandas; "
        + "pandas.read_excel('x.xlsx').to_json('x.jsonl', orient='records', lines=True)\""
    ),
    ("b.jsonl.gz", "packed: this is a gzip archive; unpack it: gunzip b.jsonl.gz"),
    ("b.jsonl.zst", "packed: this is a zstd archive; unpack it: unzstd b.jsonl.zst"),
    ("rows.tar.gz", "packed: this is a tar archive; unpack it: tar -xf rows.tar.gz"),
    ("rows.zip", "packed: this is a zip archive; unpack it: unzip rows.zip"),
    // No command with a name that a shell would not take as it is.
    ("$(reboot).zip", "packed: this is a zip archive; unpack it: unzip FILE.zip"),
    (".gz.gz", "hidden"),
    ("STEM.FILE.gz", "packed: this is a gzip archive; unpack it: gunzip STEM.FILE.gz"),
    (
      "r.yaml",
      "not_a_task: this is YAML; convert a list of rows: python3 -c \"import json, yaml; "
        + "[print(json.dumps(row)) for row in yaml.safe_load(open('r.yaml'))]\" > r.jsonl"
    ),
    (
      "n.txt",
      "not_a_task: plain text does not say what is asked and what is right; write a JSON object a line into "
        + "n.jsonl, or where that is in it: mv n.txt n.jsonl"
    ),
    (
      "n.pkl",
      "not_a_task: a pickle is a program, which is not run; write the rows where it was made: "
        + "to_json('n.jsonl', orient='records', lines=True)"
    ),
    (
      "n.jsonl.txt",
      "not_a_task: plain text does not say what is asked and what is right; write a JSON object a line into "
        + "n.jsonl, or where that is in it: mv n.jsonl.txt n.jsonl"
    ),
    ("n.db", "not_a_task: rows are not read from such a file; write a JSON object a line into n.jsonl"),
  ])
  func whatIsNoFileOfRowsIsRefusedWithTheCommandThatMakesIt(name: String, reason: String) {
    let verdict = NameRules.jsonTasks.verdict(Array(name.utf8), isDirectory: false)
    #expect(verdict == (reason == "hidden" ? .ignored(rule: reason) : .rejected(reason: reason)))
  }

  @Test(arguments: [
    ("g.safetensors.gz", "packed: this is a gzip archive; unpack it: gunzip g.safetensors.gz"),
    ("g.tgz", "packed: this is a tar archive; unpack it: tar -xf g.tgz"),
    (
      "o.bin",
      "pickle_not_supported: save it as safetensors: python3 -c \"import torch, safetensors.torch; "
        + "safetensors.torch.save_file(torch.load('o.bin', weights_only=True), 'o.safetensors')\""
    ),
    (
      "p.npz",
      "not_an_expert: save it as safetensors: python3 -c \"import numpy, safetensors.numpy; "
        + "safetensors.numpy.save_file(dict(numpy.load('p.npz')), 'p.safetensors')\""
    ),
    ("m.onnx", "not_an_expert: this is another program's format; save its vectors as m.safetensors"),
    ("q.gguf", "not_an_expert: a model is registered with t2ctl model add"),
  ])
  func whatIsNoExpertIsRefusedWithWhatMakesIt(name: String, reason: String) {
    #expect(NameRules.experts.verdict(Array(name.utf8), isDirectory: false) == .rejected(reason: reason))
  }
}
