/// The zeros that a file ends in, where they look like the blocks that a download has reserved and not yet written. A file
/// whose vectors all end in zeros is of a decomposition that was cut, and none of these.
struct EndOfZeros {
  /// The vector in which they begin, by its name, and how many of its values they are.
  let tensor: String
  let zeros: Int
  let count: Int
  /// The vectors behind it, which are nothing but zeros.
  let whole: Int

  /// `vectors`: in the order in which they stand in the file. Nil where they end in nothing of the kind.
  init?(_ vectors: [(name: String, values: [Float])]) {
    func zerosAtEnd(_ values: [Float]) -> Int { values.reversed().prefix { $0 == 0 }.count }
    let whole = vectors.reversed().prefix { zerosAtEnd($0.values) == $0.values.count }.count
    guard let last = vectors.dropLast(whole).last else { return nil }
    let zeros = zerosAtEnd(last.values)
    // One zero alone may be a value.
    guard whole > 0 || zeros > 1, !vectors.dropLast(whole + 1).contains(where: { zerosAtEnd($0.values) > 0 }) else {
      return nil
    }
    (tensor, self.zeros, count, self.whole) = (last.name, zeros, last.values.count, whole)
  }

  /// Zeros that begin within a vector and go through others to the end are no values.
  var isUnfinished: Bool { whole > 0 && zeros > 0 }

  var warning: ExpertWarning { ExpertWarning(.endOfZeros, description) }

  var description: String {
    var parts: [String] = []
    if zeros > 0 { parts.append("the last \(zeros) of the \(count) values of '\(tensor)'") }
    if whole > 0 { parts.append("all of \(whole == 1 ? "the vector" : "the \(whole) vectors") behind '\(tensor)'") }
    return parts.joined(separator: " and ")
      + " are zero up to the end of the file, and no vector before ends so: thus looks "
      + "a download that did not reach its end; compare the file with its source"
  }
}

extension ExpertFile {
  /// The expert with a warning where the file ends in zeros.
  func checkedAtEnd(_ expert: ValidatedExpert) throws(ExpertFileError) -> ValidatedExpert {
    var vectors: [(name: String, values: [Float])] = []
    for tensor in vectorsInFile { vectors.append((tensor.name, try floats(tensor.name))) }
    guard let end = EndOfZeros(vectors) else { return expert }
    guard !end.isUnfinished else { throw .endOfZeros(end.description) }
    var expert = expert
    expert.warnings.append(end.warning)
    return expert
  }
}
