import Glibc
import SystemSupport

/// A task on disk: `NAME.jsonl`, whose rows are the few-shot rows, or a directory `NAME/` with `fewshot.jsonl` and, if wanted,
/// `task.json5`, `eval.jsonl` and `train.jsonl`.
package enum TaskFile {
  package static let maximumBytes = 256 << 20
  /// The names of the files that make a task directory.
  package static let fileNames = ["task.json5", "fewshot.jsonl", "eval.jsonl", "train.jsonl"]

  /// Reads and checks a task; blocks for the reading. `name` is the path's last part where it is not given. With
  /// `onlyShots` the eval and the training file are not opened: a search must not be able to see them.
  package static func load(
    path: String, name: String? = nil, onlyShots: Bool = false
  ) throws(TaskFileError) -> TaskDefinition {
    let files = try read(path: path, onlyShots: onlyShots)
    return try TaskDefinition(name: name ?? taskName(ofPath: path), files: files)
  }

  /// Whether a search reads the file: it must not see the eval and the training rows.
  package static func isOfSearches(_ name: String) -> Bool {
    !name.hasSuffix("/eval.jsonl") && !name.hasSuffix("/train.jsonl")
  }

  /// `dir/arc_easy.jsonl` and `dir/arc_easy/` are both `arc_easy`.
  package static func taskName(ofPath path: String) -> String {
    let last = path.split(separator: "/").last.map(String.init) ?? path
    return last.hasSuffix(".jsonl") ? String(last.dropLast(6)) : last
  }

  /// The bytes of the task's files, unchecked.
  package static func read(path: String, onlyShots: Bool = false) throws(TaskFileError) -> TaskDefinition.Files {
    guard try isDirectory(path) else {
      return TaskDefinition.Files(fewshot: .init(name: lastPart(path), bytes: try bytes(path)))
    }
    return try files(ofDirectory: path, names: try entries(path), onlyShots: onlyShots) { name throws(TaskFileError) in
      try bytes("\(path)/\(name)")
    }
  }

  /// Those of a directory's files that make the task, as `read` gives them by their names; `names` are all that are
  /// there. `path` is for messages, and its last part for those about the files.
  package static func files(
    ofDirectory path: String, names: [String], onlyShots: Bool = false,
    read: (_ name: String) throws(TaskFileError) -> [UInt8]
  ) throws(TaskFileError) -> TaskDefinition.Files {
    if let odd = names.first(where: { !fileNames.contains($0) && looksLikeOurs($0) }) {
      throw .unexpectedFile(directory: path, name: odd, suggestion: suggestion(for: odd))
    }
    func file(_ name: String) throws(TaskFileError) -> TaskDefinition.Files.File? {
      guard names.contains(name) else { return nil }
      return .init(name: "\(lastPart(path))/\(name)", bytes: try read(name))
    }
    guard let fewshot = try file("fewshot.jsonl") else { throw .missingFile(directory: path, name: "fewshot.jsonl") }
    let settings = try file("task.json5")
    if onlyShots { return TaskDefinition.Files(fewshot: fewshot, settings: settings) }
    return TaskDefinition.Files(
      fewshot: fewshot, eval: try file("eval.jsonl"), train: try file("train.jsonl"), settings: settings)
  }

  /// Other files (a README, a licence) may lie beside; one that could be meant as ours may not be passed over in silence.
  private static func looksLikeOurs(_ name: String) -> Bool {
    [".jsonl", ".json5", ".json"].contains { name.hasSuffix($0) } && !name.hasPrefix(".")
  }

  private static func suggestion(for name: String) -> String? {
    if name.hasSuffix(".jsonl") {
      return ["few_shot.jsonl", "few-shot.jsonl", "shots.jsonl"].contains(name) ? "fewshot.jsonl" : nil
    }
    return "task.json5"
  }

  private static func lastPart(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

  private static func isDirectory(_ path: String) throws(TaskFileError) -> Bool {
    var status = stat()
    guard unsafe stat(path, &status) == 0 else {
      throw .unreadable(path: path, problem: "\(SystemCallError("stat", path))")
    }
    return status.st_mode & S_IFMT == S_IFDIR
  }

  private static func entries(_ path: String) throws(TaskFileError) -> [String] {
    guard let directory = unsafe opendir(path) else {
      throw .unreadable(path: path, problem: "\(SystemCallError("open", path))")
    }
    defer { unsafe closedir(directory) }
    var names: [String] = []
    while let entry = unsafe readdir(directory) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
        unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  private static func bytes(_ path: String) throws(TaskFileError) -> [UInt8] {
    let file: FileDescriptor
    var status = stat()
    do throws(SystemCallError) {
      file = try FileDescriptor.open(path, O_RDONLY | O_NONBLOCK)  // a FIFO must not hold us
      guard unsafe fstat(file.number, &status) == 0 else { throw SystemCallError("stat", path) }
    } catch {
      throw .unreadable(path: path, problem: "\(error)")
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw .unreadable(path: path, problem: "it is not a regular file")
    }
    guard status.st_size <= maximumBytes else {
      throw .tooLarge(path: path, bytes: Int(status.st_size), allowed: maximumBytes)
    }
    do throws(SystemCallError) {
      return try file.bytes(at: 0, count: Int(status.st_size))
    } catch {
      throw .unreadable(path: path, problem: "\(error)")
    }
  }
}
