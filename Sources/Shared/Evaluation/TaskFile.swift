import FileKinds
import Glibc
import Settings
import SystemSupport

/// A task on disk: a file or a directory, with the names that `TaskFileName` says.
package enum TaskFile {
  package static let maximumBytes = 256 << 20
  /// Reads and checks a task; blocks for the reading. `name` is the path's last part where it is not given. With
  /// `onlyShots` the eval and the training file are not opened: a search must not be able to see them.
  package static func load(
    path: String, name: String? = nil, onlyShots: Bool = false
  ) throws(TaskFileError) -> TaskDefinition {
    let files = try read(path: path, onlyShots: onlyShots)
    return try TaskDefinition(name: name ?? TaskFileName.task(ofPath: path), files: files)
  }

  /// Whether a search reads the file, of which this is the name below the directory that holds the task: it must not see
  /// the eval and the training rows.
  package static func isOfSearches(_ name: String) -> Bool {
    guard name.contains("/"), let part = TaskFileName.part(lastPart(name)) else { return true }
    return part == .fewshot
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
    if let odd = names.first(where: { !TaskFileName.isPart($0) && looksLikeOurs($0) }) {
      throw .unexpectedFile(directory: path, name: odd, suggestion: suggestion(for: odd))
    }
    func file(_ name: String) throws(TaskFileError) -> TaskDefinition.Files.File {
      .init(name: "\(lastPart(path))/\(name)", bytes: try read(name))
    }
    func part(_ part: TaskFileName.Part) throws(TaskFileError) -> TaskDefinition.Files.File? {
      let found = names.filter { TaskFileName.part($0) == part }
      guard found.count < 2 else { throw .twoFiles(directory: path, found[0], found[1]) }
      return try found.first.map { name throws(TaskFileError) in try file(name) }
    }
    guard let fewshot = try part(.fewshot) else { throw .missingFile(directory: path, name: "fewshot.jsonl") }
    let settings = names.contains(TaskFileName.settings) ? try file(TaskFileName.settings) : nil
    if onlyShots { return TaskDefinition.Files(fewshot: fewshot, settings: settings) }
    return TaskDefinition.Files(fewshot: fewshot, eval: try part(.eval), train: try part(.train), settings: settings)
  }

  /// Other files (a README, a licence) may lie beside; one that could be meant as ours may not be passed over in silence.
  private static func looksLikeOurs(_ name: String) -> Bool {
    guard !name.hasPrefix("."), !BookkeepingFile.isOne(named: name) else { return false }
    return TaskFileName.rowEnding(of: name) != nil || name.lowercased().hasSuffix(".json5")
      || unreadable.contains { name.lowercased().hasSuffix($0) }
  }

  /// Rows in forms that are not read here.
  private static let unreadable = [".parquet", ".arrow", ".xlsx", ".gz", ".zst", ".zip"]

  private static func suggestion(for name: String) -> String? {
    let lowered = name.lowercased()
    if lowered == "task.json" || lowered.hasSuffix(".json5") { return TaskFileName.settings }
    guard let ending = TaskFileName.rowEnding(of: name) else { return nil }
    return switch lowered.dropLast(ending.count) {
    case "few_shot", "few-shot", "shots", "fewshots": "fewshot" + ending
    case "test", "validation", "val", "valid", "dev": "eval" + ending
    case "training": "train" + ending
    default: nil
    }
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
