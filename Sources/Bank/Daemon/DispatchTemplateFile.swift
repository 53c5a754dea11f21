import Evaluation
import SystemSupport

/// The dispatch template as the user's file has it: read at start and at SIGHUP, used by any thread.
///
/// A file that has become bad is an error of every request that needs it, until it is mended: falling back to an older
/// text would answer by a question that nobody can see any more.
final class DispatchTemplateFile: Sendable {
  private let path: String
  /// Whether the configuration names it: then it must be there.
  private let isNamed: Bool
  private let current: Mutex<Result<DispatchTemplate, DispatchTemplateError>>

  init(_ configuration: Configuration, _ paths: DaemonPaths) {
    isNamed = configuration.dispatch.template != nil
    path = paths.resolve(configuration.dispatch.template ?? "etc/t2d/dispatch.txt")
    current = Mutex(Self.read(path, isNamed: isNamed))
  }

  /// Reads the file again and says what is wrong with it.
  func reload() -> DispatchTemplateError? {
    let result = Self.read(path, isNamed: isNamed)
    current.withLock { $0 = result }
    if case .failure(let error) = result { return error }
    return nil
  }

  func get() throws(DispatchTemplateError) -> DispatchTemplate { try current.withLock { $0 }.get() }

  private static func read(_ path: String, isNamed: Bool) -> Result<DispatchTemplate, DispatchTemplateError> {
    let bytes: [UInt8]
    do throws(SystemCallError) {
      if !isNamed, try FileSystem.status(path, followingLinks: true) == nil { return .success(.builtIn) }
      bytes = try FileSystem.readAll(path, maximumBytes: DispatchTemplate.maximumBytes)
    } catch {
      return .failure(.unreadable(source: path, problem: error.description))
    }
    do throws(DispatchTemplateError) {
      return .success(try DispatchTemplate(bytes: bytes, source: path))
    } catch {
      return .failure(error)
    }
  }
}
