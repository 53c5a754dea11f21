import StrictJSON
import SystemSupport

/// Reads the pickle of a file of `torch.save`: tensors, dictionaries, lists, tuples and plain values.
///
/// A pickle is a program for a stack machine that may call whatever Python can import. This machine has the instructions
/// that data need and calls nothing: a name that is not a ``TorchGlobal`` and every other instruction end the reading with
/// an error. Values lie in one array and know each other by index, as Python's do by reference; so a container that holds
/// itself is only data, nothing is copied, and no depth of nesting needs a deep stack. Each instruction adds one value of
/// bounded size and looks at few others, however large they are, so memory and time are bounded by the pickle's length,
/// which is bounded.
struct PickleReader {
  enum Value {
    case none
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case text(String)
    case global(TorchGlobal)
    case tuple([Int])
    case list([Int])
    case dictionary([(key: Int, value: Int)])
    case storage(TorchStorage)
    case tensor(TorchView)
    /// An object that is only data beside the tensors, or its class: no more is kept than the name.
    case inert(String)

    /// For messages.
    var kindName: String {
      switch self {
      case .none: "None"
      case .bool: "a boolean"
      case .integer: "an integer"
      case .number: "a number"
      case .text: "a text"
      case .global(let global): "'\(global.rawValue)'"
      case .tuple: "a tuple"
      case .list: "a list"
      case .dictionary: "a dictionary"
      case .storage: "a storage"
      case .tensor: "a tensor"
      case .inert(let name): "'\(name)'"
      }
    }
  }

  /// Names of modules and classes are longer nowhere.
  private static let maximumNameLength = 256

  private let bytes: [UInt8]
  private var position = 0
  /// Where the instruction that runs begins.
  private var start = 0
  /// All values that there were, the stack's and the memo's among them.
  private var values: [Value] = []
  private var stack: [Int] = []
  /// Heights of the stack.
  private var marks: [Int] = []
  private var memo: [Int: Int] = [:]
  private var root = 0

  private init(_ bytes: ArraySlice<UInt8>) {
    self.bytes = Array(bytes)
  }

  /// A dictionary with its tensors in their order.
  struct Dictionary {
    /// The keys that lead to it from the outermost one.
    let path: [String]
    var tensors: [(name: String, view: TorchView)] = []
    /// What it has beside tensors.
    var others: [(name: String, kind: String)] = []
  }

  /// How deep dictionaries are looked for: `{"state": {"policy": {...}}}`.
  private static let maximumDepth = 4

  /// The dictionary that a pickle is, and those in it that have texts as keys, the outer ones first.
  static func dictionaries(_ bytes: ArraySlice<UInt8>) throws(TorchFileError) -> [Dictionary] {
    var reader = PickleReader(bytes)
    while try reader.step() {}
    guard case .dictionary(let members) = reader.values[reader.root] else {
      throw .notTensors(problem: "it is \(reader.values[reader.root].kindName)")
    }
    if let (key, _) = members.first(where: { reader.text($0.key) == nil }) {
      throw .notTensors(problem: "a key is \(reader.values[key].kindName)")
    }
    var dictionaries: [Dictionary] = []
    var waiting = FIFO<(path: [String], place: Int)>()
    waiting.append(([], reader.root))
    // Each once, so that what holds itself comes to an end.
    var seen: Set<Int> = [reader.root]
    while let (path, place) = waiting.popFirst() {
      guard case .dictionary(let members) = reader.values[place] else { continue }
      var dictionary = Dictionary(path: path)
      for (key, value) in members {
        guard let name = reader.text(key) else { continue }
        if case .tensor(let view) = reader.values[value] {
          dictionary.tensors.append((name, view))
          continue
        }
        dictionary.others.append((name, reader.values[value].kindName))
        if case .dictionary = reader.values[value], path.count < maximumDepth, seen.insert(value).inserted {
          waiting.append((path + [name], value))
        }
      }
      dictionaries.append(dictionary)
    }
    return dictionaries
  }

  private func text(_ place: Int) -> String? {
    if case .text(let text) = values[place] { text } else { nil }
  }

  /// Runs one instruction; false at the end.
  private mutating func step() throws(TorchFileError) -> Bool {
    start = position
    let byte = try take(1, "an instruction")[0]
    guard let opcode = PickleOpcode(rawValue: byte) else { throw damaged("\(byte) is not an instruction") }
    switch opcode {
    case .proto:
      let version = try unsigned(1)
      guard start == 0, (2...5).contains(version) else {
        throw damaged("a pickle of protocol \(version); 2 to 5 are read, announced at the beginning")
      }
    case .frame:
      let length = try unsigned(8)
      guard length <= bytes.count - position else { throw damaged("a frame of \(length) bytes goes beyond the end") }
    case .stop:
      root = try pop()
      guard stack.isEmpty, position == bytes.count else {
        throw damaged("it ends with \(stack.count) values and \(bytes.count - position) bytes to spare")
      }
      return false
    case .none: push(.none)
    case .newtrue: push(.bool(true))
    case .newfalse: push(.bool(false))
    case .binint1: push(.integer(try unsigned(1)))
    case .binint2: push(.integer(try unsigned(2)))
    case .binint: push(.integer(Int(Int32(truncatingIfNeeded: try unsigned(4)))))
    case .long1: push(.integer(try signed(try unsigned(1))))
    case .binfloat: push(.number(Double(bitPattern: UInt64(bitPattern: Int64(try signed(8, bigEndian: true))))))
    case .binunicode: push(.text(try text(try unsigned(4))))
    case .shortBinunicode: push(.text(try text(try unsigned(1))))
    case .mark: marks.append(stack.count)
    case .emptyTuple: push(.tuple([]))
    case .tuple1: push(.tuple(try pop(1)))
    case .tuple2: push(.tuple(try pop(2)))
    case .tuple3: push(.tuple(try pop(3)))
    case .tuple: push(.tuple(try popToMark()))
    case .emptyList: push(.list([]))
    case .append: try add([try pop()])
    case .appends: try add(try popToMark())
    case .emptyDict: push(.dictionary([]))
    case .setitem: try set(try pop(2))
    case .setitems: try set(try popToMark())
    case .memoize: memo[memo.count] = try top()
    case .binput: memo[try unsigned(1)] = try top()
    case .longBinput: memo[try unsigned(4)] = try top()
    case .binget: try recall(try unsigned(1))
    case .longBinget: try recall(try unsigned(4))
    case .global: try look(up: "\(try line()).\(try line())", opcode)
    case .stackGlobal:
      let names = try pop(2)
      guard case .text(let module) = values[names[0]], case .text(let name) = values[names[1]] else {
        throw damaged("STACK_GLOBAL needs two texts")
      }
      try look(up: "\(module).\(name)", opcode)
    case .binpersid: try openStorage(try pop())
    case .reduce:
      let arguments = try pop()
      try call(try pop(), arguments)
    case .build: try setAttributes(try pop())
    case .newobj:
      let parts = try pop(2)
      guard case .inert(let name) = values[parts[0]] else {
        throw .refused(opcode: opcode.name, subject: nil, offset: start)
      }
      push(.inert(name))
    case .pop, .popMark, .dup, .binbytes, .shortBinbytes, .float, .int, .long, .persid, .string, .binstring,
      .shortBinstring, .unicode, .dict, .get, .inst, .list, .obj, .put, .ext1, .ext2, .ext4, .long4,
      .binunicode8, .binbytes8, .emptySet, .additems, .frozenset, .newobjEx, .bytearray8, .nextBuffer, .readonlyBuffer:
      throw .refused(opcode: opcode.name, subject: nil, offset: start)
    }
    return true
  }

  private func damaged(_ problem: String) -> TorchFileError { .badPickle(problem: problem, offset: start) }

  // MARK: - bytes

  private mutating func take(_ count: Int, _ what: String) throws(TorchFileError) -> [UInt8] {
    guard count <= bytes.count - position else {
      throw damaged("\(what) of \(count) bytes, of which \(bytes.count - position) are there")
    }
    defer { position += count }
    return Array(bytes[position..<position + count])
  }

  private mutating func unsigned(_ count: Int) throws(TorchFileError) -> Int {
    let value = try take(count, "a number").reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard let value = Int(exactly: value) else { throw damaged("the number \(value) is too large") }
    return value
  }

  /// In two's complement.
  private mutating func signed(_ count: Int, bigEndian: Bool = false) throws(TorchFileError) -> Int {
    guard count <= 8 else { throw damaged("a number of \(count) bytes; at most 8 are read") }
    let bytes = try take(count, "a number")
    let bits = (bigEndian ? bytes : bytes.reversed()).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    let unused = UInt64(64 - 8 * count)
    return Int(Int64(bitPattern: bits << unused) >> Int64(unused))
  }

  private mutating func text(_ count: Int) throws(TorchFileError) -> String {
    guard let text = String(validating: try take(count, "a text"), as: UTF8.self) else {
      throw damaged("a text that is not UTF-8")
    }
    return text
  }

  /// A name that ends with the line.
  private mutating func line() throws(TorchFileError) -> String {
    guard let length = bytes[position...].prefix(Self.maximumNameLength + 1).firstIndex(of: 0x0A) else {
      throw damaged("a name of more than \(Self.maximumNameLength) bytes, or cut off")
    }
    defer { position += 1 }
    return try text(length - position)
  }

  // MARK: - the stack

  private mutating func push(_ value: Value) {
    stack.append(values.count)
    values.append(value)
  }

  private func top() throws(TorchFileError) -> Int {
    guard let top = stack.last, stack.count > marks.last ?? 0 else { throw damaged("there is no value on its stack") }
    return top
  }

  private mutating func pop() throws(TorchFileError) -> Int {
    let value = try top()
    stack.removeLast()
    return value
  }

  /// In the order in which they were pushed.
  private mutating func pop(_ count: Int) throws(TorchFileError) -> [Int] {
    guard stack.count - (marks.last ?? 0) >= count else { throw damaged("there are no \(count) values on its stack") }
    defer { stack.removeLast(count) }
    return stack.suffix(count)
  }

  private mutating func popToMark() throws(TorchFileError) -> [Int] {
    guard let mark = marks.popLast() else { throw damaged("there is no mark on its stack") }
    defer { stack.removeSubrange(mark...) }
    return Array(stack[mark...])
  }

  private mutating func recall(_ place: Int) throws(TorchFileError) {
    guard let value = memo[place] else { throw damaged("nothing was put at \(place)") }
    stack.append(value)
  }

  private mutating func add(_ items: [Int]) throws(TorchFileError) {
    let target = try top()
    guard case .list(var list) = values[target] else { throw damaged("it appends to \(values[target].kindName)") }
    // Taken out first, so that a long list is not copied for every item.
    values[target] = .none
    list += items
    values[target] = .list(list)
  }

  private mutating func set(_ items: [Int]) throws(TorchFileError) {
    let target = try top()
    guard case .dictionary(var members) = values[target], items.count % 2 == 0 else {
      throw damaged("it sets \(items.count) keys and values of \(values[target].kindName)")
    }
    values[target] = .none
    for place in stride(from: 0, to: items.count, by: 2) { members.append((items[place], items[place + 1])) }
    values[target] = .dictionary(members)
  }

  // MARK: - what stands for code

  private mutating func look(up name: String, _ opcode: PickleOpcode) throws(TorchFileError) {
    guard let global = TorchGlobal(rawValue: name) else {
      if TorchGlobal.inert.contains(name) {
        push(.inert(name))
        return
      }
      if name.hasPrefix("torch."), name.hasSuffix("Storage") { throw .unsupportedStorage(type: name) }
      throw .refused(opcode: opcode.name, subject: name, offset: start)
    }
    push(.global(global))
  }

  private mutating func call(_ function: Int, _ arguments: Int) throws(TorchFileError) {
    if case .inert(let name) = values[function] {
      push(.inert(name))
      return
    }
    guard case .global(let global) = values[function], case .tuple(let arguments) = values[arguments] else {
      throw damaged("it calls \(values[function].kindName) with \(values[arguments].kindName)")
    }
    switch global {
    case .orderedDictionary:
      guard arguments.isEmpty else { throw damaged("an OrderedDict made of \(arguments.count) arguments") }
      push(.dictionary([]))
    case .rebuildTensor: push(.tensor(try tensor(arguments)))
    case .rebuildParameter:
      // (tensor, requires gradient, hooks)
      guard arguments.count == 3, case .tensor(let view) = values[arguments[0]], isEmptyDictionary(arguments[2]) else {
        throw damaged("a parameter that is not made of a tensor, a boolean and no hooks")
      }
      push(.tensor(view))
    case .floatStorage, .halfStorage, .bfloat16Storage, .doubleStorage, .longStorage, .intStorage, .shortStorage,
      .charStorage, .byteStorage, .boolStorage:
      throw .refused(opcode: PickleOpcode.reduce.name, subject: global.rawValue, offset: start)
    }
  }

  /// A module's dictionary has `_metadata` with it, the versions of its parts, which say nothing of the values.
  private mutating func setAttributes(_ attributes: Int) throws(TorchFileError) {
    if case .inert = values[try top()] { return }
    guard case .dictionary = values[try top()], case .dictionary(let members) = values[attributes], members.count <= 1,
      members.allSatisfy({ isText($0.key, "_metadata") })
    else { throw .refused(opcode: PickleOpcode.build.name, subject: nil, offset: start) }
  }

  /// ("storage", its type, the key of its entry, the device, the number of values)
  private mutating func openStorage(_ identity: Int) throws(TorchFileError) {
    guard case .tuple(let parts) = values[identity], parts.count == 5, isText(parts[0], "storage"),
      case .global(let global) = values[parts[1]], global.isStorage,
      case .text(let key) = values[parts[2]],
      case .text = values[parts[3]], case .integer(let count) = values[parts[4]]
    else { throw damaged("a reference to something else than a storage") }
    push(.storage(TorchStorage(typeName: global.rawValue, type: global.elementType, key: key, count: count)))
  }

  /// (storage, offset, shape, strides, requires gradient, hooks)
  private func tensor(_ arguments: [Int]) throws(TorchFileError) -> TorchView {
    guard arguments.count == 6, case .storage(let storage) = values[arguments[0]],
      case .integer(let offset) = values[arguments[1]], let shape = integers(arguments[2]),
      let strides = integers(arguments[3]), isEmptyDictionary(arguments[5]), shape.count == strides.count
    else {
      throw damaged(
        "a tensor that is not made of a storage, an offset, a shape with strides (of at most "
          + "\(TorchView.maximumDimensions) dimensions), a boolean and no hooks")
    }
    return TorchView(storage: storage, offset: offset, shape: shape, strides: strides)
  }

  /// Of a shape or of strides. One tuple may be that of any number of tensors, so a long one is not taken over.
  private func integers(_ place: Int) -> [Int]? {
    guard case .tuple(let items) = values[place], items.count <= TorchView.maximumDimensions else { return nil }
    var integers: [Int] = []
    for item in items {
      guard case .integer(let integer) = values[item] else { return nil }
      integers.append(integer)
    }
    return integers
  }

  private func isEmptyDictionary(_ place: Int) -> Bool {
    if case .dictionary(let members) = values[place] { members.isEmpty } else { false }
  }

  private func isText(_ place: Int, _ wanted: String) -> Bool {
    if case .text(let text) = values[place] { text.utf8.elementsEqual(wanted.utf8) } else { false }
  }
}
