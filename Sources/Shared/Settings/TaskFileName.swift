/// What the files of a task are called: `NAME.jsonl` alone, whose rows are the few-shot rows, or in a directory `NAME`
/// `fewshot.jsonl` and, if wanted, `task.json5`, `eval.jsonl` and `train.jsonl`. Instead of `.jsonl` a file of rows may have
/// another of `rowEndings`.
package enum TaskFileName {
  /// What a file of rows may end in, in letters of either case.
  package static let rowEndings = [".jsonl", ".ndjson", ".json", ".csv", ".tsv"]
  package static let settings = "task.json5"

  /// What files of rows are called in a directory, before their ending.
  package enum Part: String, CaseIterable, Sendable {
    case fewshot, eval, train
  }

  /// As it is written.
  package static func rowEnding(of name: String) -> String? {
    rowEndings.first { name.utf8.count > $0.utf8.count && name.lowercased().hasSuffix($0) }.map {
      String(name.suffix($0.count))
    }
  }

  package static func part(_ name: String) -> Part? {
    rowEnding(of: name).flatMap { Part(rawValue: String(name.dropLast($0.count))) }
  }

  /// Whether the file is one of those that make a task's directory.
  package static func isPart(_ name: String) -> Bool { name == settings || part(name) != nil }

  /// `dir/arc_easy.jsonl` and `dir/arc_easy/` are both `arc_easy`.
  package static func task(ofPath path: String) -> String {
    let last = path.split(separator: "/").last.map(String.init) ?? path
    return rowEnding(of: last).map { String(last.dropLast($0.count)) } ?? last
  }
}
