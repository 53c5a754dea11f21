extension RPCMethod {
  /// The version of the protocol: a number that grows when a method or a member is added. Nothing is removed or
  /// retyped under one major version of t2d.
  package static let protocolVersion = 5

  /// Every method that the daemon answers, in the order of the manual: one line each.
  package static let declarations: [any RPCMethodDeclaration.Type] = [
    SystemHello.self,
    SystemStatus.self,
    SystemMethods.self,
    SystemSync.self,
    SystemAudit.self,
    SystemGC.self,
    SystemBackup.self,
    SystemShutdown.self,
    ModelAdd.self,
    ModelPlan.self,
    ModelList.self,
    ModelShow.self,
    ModelRemove.self,
    ModelTokenize.self,
    ExpertList.self,
    ExpertShow.self,
    ExpertLog.self,
    ExpertVerify.self,
    ExpertPromote.self,
    ExpertRollback.self,
    ExpertRetire.self,
    ExpertRemove.self,
    ExpertExport.self,
    TaskList.self,
    TaskShow.self,
    TaskVerify.self,
    TaskRegister.self,
    TaskAdapt.self,
    TaskRemove.self,
    MixtureGet.self,
    MixtureList.self,
    MixtureLog.self,
    MixtureAblate.self,
    MixtureExport.self,
    AdapterResolve.self,
    RemovalList.self,
    RemovalUndo.self,
    CheckRun.self,
    CheckList.self,
    CheckShow.self,
    TrainStart.self,
    DispatchRun.self,
    DispatchEvaluate.self,
    Score.self,
    Generate.self,
    EvaluateRun.self,
    SweepRun.self,
    JobList.self,
    JobShow.self,
    JobWait.self,
    JobCancel.self,
    EventsSubscribe.self,
  ]

  /// The declaration alone, for who has no use for the whole table: reading them all is a third of t2ctl's start.
  package static func declaration(named name: String) -> (any RPCMethodDeclaration.Type)? {
    declarations.first { $0.name == name }
  }

  package static let all: [RPCMethod] = declarations.map { RPCMethod($0) }

  package static func named(_ name: String) -> RPCMethod? { byName[name] }

  /// The result of `system.methods`, made once, since all results are walked for it.
  package static let description = SystemMethods.Result(
    protocol: protocolVersion, methods: all.map(\.shown), notifications: RPCNotification.allCases.map(\.shown))

  // Names are ASCII, so canonical equivalence of Swift's String cannot confuse two of them: what a client sends
  // is compared as bytes before it comes here.
  private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })
}
