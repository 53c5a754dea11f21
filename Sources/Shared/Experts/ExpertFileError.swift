import FileKinds
package import ModelFormats
import StrictJSON

/// Why a file is not an expert, or not one for the models that there are.
package enum ExpertFileError: Error, Sendable, Equatable, CustomStringConvertible {
  case file(SafetensorsError)
  case badMetadata(key: String, found: String, allowed: String)
  case noName(fileName: String)
  case notAVector(tensor: String, shape: [Int])
  /// Tensors of another kind.
  case notAnExpert(OtherTensors)
  /// One file of several.
  case partOfAnExpert(ExpertPart)
  /// The index of an expert in parts, or its parts, contradict each other.
  case badIndex(problem: String)
  /// `wrapper`: what is known to be around all names, without which they do not fit either.
  case unknownMatrix(tensor: String, model: String, nearest: String?, wrapper: String?)
  case wrongLength(tensor: String, found: Int, rank: Int, model: String)
  /// Values other than 1 for matrices that the model does not factor: the first, how many there are, and what it factors.
  case notFactored(tensor: String, count: Int, model: String, modules: [String])
  case notFinite(tensor: String, index: Int, value: Float)
  case outOfRange(tensor: String, index: Int, value: Float, limit: Float)
  /// Vectors of multipliers that are all zero: the first, how many there are, and of how many.
  case allZero(tensor: String, count: Int, of: Int)
  /// From within a vector to the end of the file; a sentence.
  case endOfZeros(String)
  /// A file of the paper's reference code; what is wrong with its names.
  case notSakana(problem: String)
  case wrongCount(found: Int, expected: Int, model: String)
  case noModels
  /// Of several models none fits; the reason for each.
  case noModelFits([(model: String, reason: String)])
  case ambiguousModel(names: [String])

  /// True where waiting for the rest of the file can help.
  package var isIncomplete: Bool {
    if case .file(let error) = self { error.isIncomplete } else { false }
  }

  /// A stable name of the cause for machines.
  package var code: String {
    switch self {
    case .file(let error): error.code
    case .badMetadata: "bad_metadata_value"
    case .noName: "no_name"
    case .notAVector: "not_a_vector"
    case .notAnExpert: "not_an_expert"
    case .partOfAnExpert: "part_of_an_expert"
    case .badIndex: "bad_index"
    case .unknownMatrix: "unknown_matrix"
    case .wrongLength: "wrong_length"
    case .notFactored: "not_factored"
    case .notFinite: "not_finite"
    case .outOfRange: "out_of_range"
    case .allZero: "all_zero"
    case .endOfZeros: "end_of_zeros"
    case .notSakana: "not_sakana"
    case .wrongCount: "wrong_count"
    case .noModels: "no_models"
    case .noModelFits: "no_model_fits"
    case .ambiguousModel: "ambiguous_model"
    }
  }

  package var description: String {
    switch self {
    case .file(.anotherFormat(let kind)): SafetensorsError.anotherFormat(kind).description + Self.advice(kind)
    case .file(let error): error.description
    case .badMetadata(let key, let found, let allowed):
      "metadata \(key) is \(JSONValue.string(found.excerpt).jsonText); allowed: \(allowed)"
    case .noName(let fileName):
      "the file has no t2.name, and \(JSONValue.string(fileName).jsonText) gives none; a name is \(ExpertName.rule), "
        + "and none of \(ExpertName.reserved.joined(separator: ", "))"
    case .notAVector(let tensor, let shape):
      "tensor '\(tensor)' has shape \(shape); an expert has one vector a matrix, and a model's weights are registered "
        + "with t2ctl model add"
    case .notAnExpert(let other): "this is \(other.name), as '\(other.tensor.excerpt)' shows; \(other.advice)"
    case .partOfAnExpert(let part):
      "this is part \(part.number) of the \(part.count) of an expert, \(part.range), and an expert is one file; where "
        + "'\(part.indexName)' is beside them, run t2ctl expert register \(part.indexName), else make one file of them: "
        + part.joining
    case .badIndex(let problem): "the index of an expert in parts: \(problem)"
    case .unknownMatrix(let tensor, let model, let nearest, let wrapper):
      "'\(tensor.excerpt)' is not a target matrix of model '\(model)'"
        + (wrapper.map { ", with or without what is around all names: \($0)" } ?? "")
        + (nearest.map { "; did you mean '\($0)'?" } ?? "; was it trained on another model?")
    case .wrongLength(let tensor, let found, let rank, let model):
      "tensor '\(tensor)' has \(found) values, its matrix in model '\(model)' has rank \(rank); was it trained on "
        + "another model?"
    case .notFactored(let tensor, let count, let model, let modules):
      "it has multipliers other than 1 for \(count == 1 ? "a matrix" : "\(count) matrices") that model '\(model)' does not "
        + "factor: the first is '\(tensor)'; of that model only \(modules.joined(separator: ", ")) are factored; add it again "
        + "with more modules, under another name or after t2ctl model remove \(model), or leave these tensors out"
    case .notFinite(let tensor, let index, let value): "tensor '\(tensor)' has \(value) at index \(index)"
    case .outOfRange(let tensor, let index, let value, let limit):
      "tensor '\(tensor)' has the multiplier \(value) at index \(index); allowed is -\(limit) to \(limit)"
    case .allZero(let tensor, let count, let total):
      "\(count) of \(total) vectors hold nothing but zeros, the first is '\(tensor)': such a multiplier removes its "
        + "matrix, and so looks a download that did not reach its end; copy the file again, and leave out a tensor whose "
        + "matrix is to stay as it is"
    case .endOfZeros(let sentence): sentence
    case .notSakana(let problem):
      "this is not an expert of the reference code: \(problem); it has learnable_params_module_list.0, .1 and so on, or the "
        + "names of the base's matrices"
    case .wrongCount(let found, let expected, let model):
      "it has \(found) vectors by position, model '\(model)' has \(expected) mlp matrices (gate, up and down of each "
        + "layer); was it trained on another model?"
    case .noModels: "no model is registered that the expert could be for; register one with t2ctl model add"
    case .noModelFits(let reasons):
      "it fits none of the registered models: " + reasons.map { "\($0.model): \($0.reason)" }.joined(separator: "; ")
    case .ambiguousModel(let names):
      "it fits the models \(names.joined(separator: ", ")) alike; set t2.base.digest in the file, or choose with --model"
    }
  }

  /// What makes an expert of a file of another kind.
  private static func advice(_ kind: FileKind) -> String {
    switch kind {
    case .weights(.torch), .weights(.pickle): "; t2ctl expert import makes an expert of a file of torch.save"
    case .weights(.gguf), .weights(.ggml): "; a model is registered with t2ctl model add"
    case .table(.numpy): "; save its arrays with safetensors.numpy.save_file"
    case .gitLFSPointer, .webPage, .serverMessage, .archive, .table, .text, .weights, .document, .program, .empty,
      .zeros:
      ""
    }
  }

  package static func == (left: ExpertFileError, right: ExpertFileError) -> Bool {
    left.code == right.code && left.description == right.description
  }
}
