/// The names of Python's that a pickle of tensors may use. None of them is looked up anywhere: each stands for what the
/// reader does by itself.
enum TorchGlobal: String, CaseIterable {
  case orderedDictionary = "collections.OrderedDict"
  case rebuildTensor = "torch._utils._rebuild_tensor_v2"
  case rebuildParameter = "torch._utils._rebuild_parameter"
  case floatStorage = "torch.FloatStorage"
  case halfStorage = "torch.HalfStorage"
  case bfloat16Storage = "torch.BFloat16Storage"

  static let storages = allCases.filter { $0.elementType != nil }

  /// Of a storage's values; nil where it is no storage.
  var elementType: ElementType? {
    switch self {
    case .orderedDictionary, .rebuildTensor, .rebuildParameter: nil
    case .floatStorage: .f32
    case .halfStorage: .f16
    case .bfloat16Storage: .bf16
    }
  }
}
