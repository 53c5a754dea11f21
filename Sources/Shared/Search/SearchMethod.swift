package import StrictJSON

/// Why a search ended.
package enum StopReason: String, Sendable, CaseIterable {
  /// Every spread is at its floor.
  case converged
  /// The best member has not changed for several generations.
  case stalled
  case iterations
  case promptBudget = "prompt_budget"
  case secondsBudget = "seconds_budget"

  /// Whether the method itself saw that going on is of no use.
  package var isConvergence: Bool { self == .converged || self == .stalled }
}

/// A search as a pure struct: it asks a question and is told the answer. No clock, no model, no randomness but what its
/// seed and the counters give; so it is tested with invented scores, and the same answers lead to the same end.
///
/// A method is one file and one line of ``SearchMethods/all``. What others must know of it, its type says: nobody
/// compares names.
package protocol SearchMethod: Sendable {
  associatedtype Settings: SearchMethodSettings

  /// On the wire, in task files and on the command line.
  static var name: SearchMethodName { get }
  /// One line for someone who chooses a method, as `t2ctl help task adapt` shows it.
  static var summary: String { get }
  /// What journals call it; they keep the name that they began with, so that an interrupted search survives an upgrade.
  static var journalName: String { get }
  /// Whether it asks for gradients, which rows with choices alone have.
  static var needsGradients: Bool { get }
  /// Whether its points lie on the grid of the space, which a method that follows a gradient leaves.
  static var isOnGrid: Bool { get }
  /// Whether the search on all shots begins when those without a fold have ended, and is told what they found.
  static var followsFolds: Bool { get }

  init(space: MixtureSpace, settings: Settings, start: SearchStart)

  /// Told before the first question what is known already, and costs nothing: the baselines that are points of the space,
  /// and what the searches found that it follows.
  mutating func begin(knowing scores: [(point: [Double], score: MemberScore)])

  /// Nil once the search has ended. Asking twice without answering gives the same question.
  var question: Question? { get }
  mutating func take(_ answer: Answer)

  /// The best point so far and its score; nil before the first generation was told.
  var best: (point: [Double], score: MemberScore)? { get }
  var generation: Int { get }
  var stopReason: StopReason? { get }
  /// Evaluations of each shot that it might still have asked for when it ended: what its convergence saved.
  var unspent: Int { get }
  /// The mean over the coefficients of the spread that the next generation is drawn with; nil where none is.
  var spread: Double? { get }

  /// All that changes from one generation to the next: a journal that is replayed must come to the same, to the bit.
  var state: JSONValue { get }
}

extension SearchMethod {
  package static var journalName: String { name.rawValue }
  package static var needsGradients: Bool { false }
  package static var isOnGrid: Bool { true }
  package static var followsFolds: Bool { false }

  /// Most methods begin in the middle, whatever is known.
  package mutating func begin(knowing scores: [(point: [Double], score: MemberScore)]) {}
  package var spread: Double? { nil }
}

/// Which of an adaptation's searches one is.
package struct SearchStart: Sendable {
  package var seed: UInt64
  /// Keeps searches of one seed apart.
  package var stream: UInt32
  /// False of a search without a fold.
  package var isWhole: Bool

  package init(seed: UInt64, stream: UInt32 = 0, isWhole: Bool = true) {
    self.seed = seed
    self.stream = stream
    self.isWhole = isWhole
  }
}
