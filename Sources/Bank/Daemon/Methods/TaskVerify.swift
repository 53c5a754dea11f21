import Evaluation
import RPCProtocol
import Settings
import SystemSupport

extension TaskVerify: HandledMethod {
  /// Problems that are listed.
  private static let shown = 20

  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let name = FileSystem.split(asked.path).name
    let settings = asked.settings
    let most = min(service.configuration.maximumTaskBytes, TaskFile.maximumBytes)
    try Service.readPassed(reply, atMost: most) { bytes in
      reply.succeed(verdict(on: bytes, named: name, settings))
    }
  }

  private static func verdict(on bytes: [UInt8], named name: String, _ settings: String?) -> Result {
    var files = TaskDefinition.Files(fewshot: .init(name: name, bytes: bytes))
    files.settings = settings.map { .init(name: TaskFileName.settings, bytes: Array($0.utf8)) }
    do throws(TaskFileError) {
      let task = try TaskDefinition(name: TaskFileName.task(ofPath: name), files: files)
      let row = task.shots[0]
      return Result(
        rows: task.shots.count, scoring: task.scoring, metric: task.metric.rawValue, template: task.templateName,
        prompt: task.prompt(for: row).shown, continuations: task.continuations(for: row), warnings: task.warnings)
    } catch {
      let problems = error.single
      let left = problems.count - shown
      return Result(errors: problems.prefix(shown).map(\.description), more: left > 0 ? left : nil)
    }
  }
}

extension TaskPrompt {
  /// What a model without chat template is given, or the turns after each other.
  fileprivate var shown: String {
    switch self {
    case .text(let text), .chat(_, let text?): text
    case .chat(let turns, nil): turns.map(\.content).joined(separator: "\n\n")
    }
  }
}
