import Digests
import ModelFormats
import Multipliers
import StrictJSON

/// An expert file by itself: well-formed, its metadata understood, its values not yet compared with any model.
///
/// The file is read whole into private memory; whatever happens to it afterwards changes nothing here.
package struct ExpertFile: Sendable {
  /// |s| of a multiplier that is believed.
  package static let maximumMagnitude: Float = 10
  /// A longer file is none.
  package static let maximumBytes = SafetensorsHeader.Rules.expert.maximumFileSize

  package let metadata: ExpertMetadata
  /// `t2.name`, else the file's name.
  package let name: String
  private let warnings: [ExpertWarning]
  private let file: SafetensorsFile
  /// Under which it was dropped, without its directory.
  let fileName: String

  /// Reads a file. `fileName` is the name under which it was dropped, where `path` is that of a copy.
  package static func read(path: String, fileName: String? = nil) throws(ExpertFileError) -> ExpertFile {
    let file: SafetensorsFile
    do throws(SafetensorsError) {
      file = try SafetensorsFile.open(path: path)
    } catch {
      throw .file(error)
    }
    return try ExpertFile(file, fileName: fileName ?? path)
  }

  package static func read(bytes: [UInt8], fileName: String) throws(ExpertFileError) -> ExpertFile {
    let file: SafetensorsFile
    do throws(SafetensorsError) {
      file = try SafetensorsFile(bytes)
    } catch {
      throw .file(error)
    }
    return try ExpertFile(file, fileName: fileName)
  }

  private init(_ file: SafetensorsFile, fileName: String) throws(ExpertFileError) {
    self.file = file
    self.fileName = fileName.split(separator: "/").last.map { String($0) } ?? ""
    var warnings: [ExpertWarning] = []
    metadata = try ExpertMetadata(file.metadata, warnings: &warnings)
    guard let name = metadata.name ?? ExpertName.fromFileName(fileName) else { throw .noName(fileName: fileName) }
    self.name = name
    self.warnings = warnings
  }

  /// A model that has just this file's matrices, for who reads it and knows no model: the digest of its content, and what it
  /// says of itself, are the same under each that it fits. Nil where a tensor is no vector.
  package func signatureOfItsOwn(named name: String) -> ModelSignature? {
    // Names as models have them, which is what those of a file with a wrapper's prefix were taken for.
    let looksRight = { (name: String) in name.hasPrefix("model.layers.") && name.hasSuffix(".weight") }
    let vectors = file.tensors.filter { $0.count > 1 }
    let mending = NameMending(of: vectors.map(\.name), fits: looksRight)
    guard !vectors.isEmpty, vectors.allSatisfy({ !OtherTensors.isMatrix($0.shape) }) else { return nil }
    return ModelSignature(
      name: name, modelID: metadata.baseModelID ?? name, digest: metadata.baseDigest ?? SHA256.digest([]),
      architecture: metadata.baseArchitecture ?? "",
      layout: MultiplierLayout(
        vectors.map {
          TargetMatrix(name: mending?($0.name) ?? $0.name, rows: $0.count, columns: $0.count, layer: nil)
        }))
  }

  // MARK: Against one model

  /// Checks the file against a model, cheap things first: names, lengths, finite, range, constant, base.
  package func validated(against model: ModelSignature) throws(ExpertFileError) -> ValidatedExpert {
    let match = try matched(to: model.layout, of: model.name)
    var warnings = warnings + match.warnings
    let all = try values(match)
    let parameters = try factored(all, of: model, &warnings)
    warnings += ExpertWarning.rounding(
      match.vectors.map { (file.tensors[$0.tensor].name, file.tensors[$0.tensor].type == .f64) })
    try checkRange(parameters, model.layout, &warnings)
    warnAboutConstants(parameters, model.layout, &warnings)

    let baseMatch: ValidatedExpert.BaseMatch
    if let declared = metadata.baseDigest {
      baseMatch = declared == model.digest ? .same : .foreign
      if baseMatch == .foreign {
        warnings.append(
          ExpertWarning(
            .foreignBase,
            "it was trained on the base \(declared), model '\(model.name)' is \(model.digest); the shapes fit, so it can "
              + "be used after a transfer check or with --allow-base"))
      }
    } else {
      baseMatch = .unstated
      warnings.append(
        ExpertWarning(.missingBaseDigest, "the file has no t2.base.digest; it is bound to model '\(model.name)'"))
    }
    if let architecture = metadata.baseArchitecture, architecture != model.architecture {
      warnings.append(
        ExpertWarning(
          .otherArchitecture, "t2.base.arch is '\(architecture)', model '\(model.name)' is '\(model.architecture)'"))
    }
    return ValidatedExpert(
      name: name, metadata: metadata, model: model.name, modelDigest: model.digest, baseMatch: baseMatch,
      layout: model.layout, parameters: parameters, warnings: warnings,
      contentDigest: contentDigest(all, model.layout))
  }

  private func values(_ match: VectorMatch) throws(ExpertFileError) -> [(matrix: Int, values: [Float])] {
    var parameters: [(matrix: Int, values: [Float])] = []
    for (matrix, place) in match.vectors {
      let tensor = file.tensors[place]
      let values = try floats(tensor.name)
      if let index = values.firstIndex(where: { !$0.isFinite }) {
        throw .notFinite(tensor: tensor.name, index: index, value: values[index])
      }
      parameters.append((matrix, values))
    }
    return parameters
  }

  /// Those of matrices that the model factors. Multipliers of 1 leave a matrix as it is, factored or not; others would be
  /// lost, and so are an error.
  private func factored(
    _ parameters: [(matrix: Int, values: [Float])], of model: ModelSignature, _ warnings: inout [ExpertWarning]
  ) throws(ExpertFileError) -> [(matrix: Int, values: [Float])] {
    let matrices = model.layout.matrices
    let others = parameters.filter { !matrices[$0.matrix].isFactored }
    guard let any = others.first else { return parameters }
    let lost = others.filter { other in
      multipliers(
        from: other.values, space: metadata.parameterSpace, maximumMultiplier: metadata.maximumMultiplier
      ).contains { $0 != 1 }
    }
    if let first = lost.first {
      throw .notFactored(
        tensor: matrices[first.matrix].name, count: lost.count, model: model.name,
        modules: model.layout.factoredModules ?? [])
    }
    warnings.append(
      ExpertWarning(
        .notFactored,
        "model '\(model.name)' does not factor \(others.count) of its \(parameters.count) matrices, whose multipliers are all "
          + "1 and are left out; the first is '\(matrices[any.matrix].name)'"))
    return parameters.filter { matrices[$0.matrix].isFactored }
  }

  /// Throws where its vectors are not of a model's matrices, or of such that are not factored.
  func fits(_ model: ModelSignature) throws(ExpertFileError) {
    let match = try matched(to: model.layout, of: model.name)
    var warnings: [ExpertWarning] = []
    // Of a model that factors all, values have no say.
    if model.layout.factoredModules != nil { _ = try factored(try values(match), of: model, &warnings) }
  }

  /// Which of the tensors are the vectors of which matrices.
  func matched(to layout: MultiplierLayout, of model: String) throws(ExpertFileError) -> VectorMatch {
    try VectorMatch(file.tensors.map { ($0.name, $0.shape) }, in: layout, of: model)
  }

  /// In the order in which they stand in the file; a step count is none.
  var vectorsInFile: [SafetensorsFile.Tensor] {
    file.tensors.filter { $0.count > 1 && $0.type.isRead }.sorted { $0.byteRange.lowerBound < $1.byteRange.lowerBound }
  }

  func floats(_ name: String) throws(ExpertFileError) -> [Float] {
    do throws(SafetensorsError) {
      return try file.floats(name)
    } catch {
      throw .file(error)
    }
  }

  /// What is far from 1 is believed up to a limit. Mixtures that t2d wrote are sums of such vectors and only warned of.
  private func checkRange(
    _ parameters: [(matrix: Int, values: [Float])], _ layout: MultiplierLayout, _ warnings: inout [ExpertWarning]
  ) throws(ExpertFileError) {
    var unusual = 0
    var first: (tensor: String, index: Int, value: Float)?
    for (matrix, values) in parameters {
      let multipliers = multipliers(
        from: values, space: metadata.parameterSpace, maximumMultiplier: metadata.maximumMultiplier)
      let tensor = layout.matrices[matrix].name
      for (index, value) in multipliers.enumerated() where !(0.2...5).contains(value) {
        if abs(value) > Self.maximumMagnitude, metadata.kind != .mixture {
          throw .outOfRange(tensor: tensor, index: index, value: value, limit: Self.maximumMagnitude)
        }
        unusual += 1
        if first == nil { first = (tensor, index, value) }
      }
    }
    if let first {
      warnings.append(
        ExpertWarning(
          .unusualRange,
          "\(unusual) multipliers are outside of 0.2 to 5; the first is \(first.value) at index \(first.index) of "
            + "'\(first.tensor)'"))
    }
  }

  private func warnAboutConstants(
    _ parameters: [(matrix: Int, values: [Float])], _ layout: MultiplierLayout, _ warnings: inout [ExpertWarning]
  ) {
    let constant = parameters.filter { $0.values.count > 1 && Set($0.values).count == 1 }
    guard let first = constant.first else { return }
    warnings.append(
      ExpertWarning(
        .constantVector,
        "\(constant.count) of \(parameters.count) vectors are constant, so they carry no order of singular values; the "
          + "first is '\(layout.matrices[first.matrix].name)', all \(first.values[0])"))
  }

  /// The identity of an expert: what its numbers are and mean, not how the file is laid out or described.
  ///
  /// SHA-256 over "t2-expert 1", the entries that change the meaning (parameter space, with logits its maximum, rescale,
  /// base digest) and the vectors, names sorted by bytes, values widened to little-endian floats.
  private func contentDigest(_ parameters: [(matrix: Int, values: [Float])], _ layout: MultiplierLayout) -> Digest {
    var hash = SHA256()
    hash.update("t2-expert 1\0param_space=\(metadata.parameterSpace.rawValue)\0")
    if metadata.parameterSpace == .logit {
      hash.update("max_mult=\(ExpertMetadata.shortest(metadata.maximumMultiplier))\0")
    }
    hash.update("rescale=\(metadata.rescale.rawValue)\0base.digest=\(metadata.baseDigest?.description ?? "")\0")
    let named = parameters.map { (UTF8Key(layout.matrices[$0.matrix].name), $0.values) }.sorted { $0.0 < $1.0 }
    for (name, values) in named {
      hash.update("\(name.string)\0\(values.count)\0")
      unsafe values.withUnsafeBytes { unsafe hash.update($0) }
    }
    return hash.finish()
  }
}
