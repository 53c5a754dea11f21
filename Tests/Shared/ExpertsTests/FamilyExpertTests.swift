import Experts
import ModelFormats
import SystemSupport
import TestSupport
import Testing

/// The experts beside the tiny models of every family. Their digests of the bases, of PyTorch's reading of the same files,
/// stand without `sha256:`.
@Suite struct FamilyExpertTests {
  static let directory = repository + "/Tests/Fixtures/families"
  static let names = (try? FileSystem.entries(directory).compactMap(\.text).sorted()) ?? []

  @Test func everyTinyModelHasOne() { #expect(Self.names.count == 16) }

  @Test(arguments: names) func theExpertOfATinyModelIsOfIt(name: String) throws {
    let path = Self.directory + "/" + name
    let model = try openModel(at: path)
    let signature = ModelSignature(name: name, model: model, digest: try model.digest())
    let expert = try ExpertFile.read(path: path + "/expert.safetensors").validated(against: signature)
    #expect(expert.baseMatch == .same)
    #expect(expert.parameters.map(\.matrix) == Array(signature.layout.matrices.indices))
    #expect(expert.warnings.isEmpty, "\(expert.warnings)")
  }
}
