/// Opens a GGUF file of the Llama architecture.
func openGGUF(_ path: String) throws(ModelFormatError) -> OpenModel {
  try refuseByteParts(path)
  let file = try MappedFile(path: path)
  let header = try unsafe GGUFHeader(file.bytes, path: path) { metadata, tensorCount throws(ModelFormatError) in
    try metadata.refuseWhatIsNoModel(tensorCount: tensorCount)
    try metadata.refuseWhatIsNotComputed()
  }
  let metadata = GGUFMetadata(path: path, values: header.metadata)

  var tensors: [String: GGUFHeader.Tensor] = [:]
  for tensor in header.tensors {
    guard let name = huggingFaceName(tensor.name) else {
      throw .unsupported(
        path: path, what: "a tensor", found: "'\(tensor.name)'", supported: "those of the plain Llama architecture")
    }
    guard tensors.updateValue(tensor, forKey: name) == nil else {
      throw .malformed(
        path: path, place: "tensor '\(tensor.name)'", problem: "it is there twice, under another name too")
    }
  }
  let unchecked = try metadata.configuration(tensors)
  try unchecked.check(path: path)
  let required = Set(unchecked.requiredTensors.map(\.name))
  for other in header.tensors where !required.contains(huggingFaceName(other.name) ?? "") {
    throw .unsupported(
      path: path, what: "a tensor", found: "'\(other.name)'",
      supported: "those of the plain Llama architecture with \(unchecked.layers) layers")
  }
  let configuration = unchecked.withQuantization { tensors[$0]?.type.rawValue }
  return try OpenModel(
    path: path, configuration: configuration,
    tokenizerDescription: try metadata.tokenizer(vocabulary: configuration.vocabulary),
    store: GGUFTensors(file: file, tensors: tensors, configuration: configuration))
}

/// The checkpoint's name of a tensor of llama.cpp's converter; nil where the Llama architecture has none such.
func huggingFaceName(_ name: String) -> String? {
  switch name {
  case "token_embd.weight": return "model.embed_tokens.weight"
  case "output_norm.weight": return "model.norm.weight"
  case "output.weight": return "lm_head.weight"
  default: break
  }
  let parts = name.split(separator: ".", omittingEmptySubsequences: false)
  guard parts.count == 4, parts[0] == "blk", parts[3] == "weight", let layer = UInt16(parts[1]) else { return nil }
  let part: String? =
    switch parts[2] {
    case "attn_norm": "input_layernorm"
    case "ffn_norm": "post_attention_layernorm"
    case "attn_q": "self_attn.q_proj"
    case "attn_k": "self_attn.k_proj"
    case "attn_v": "self_attn.v_proj"
    case "attn_output": "self_attn.o_proj"
    case "ffn_gate": "mlp.gate_proj"
    case "ffn_up": "mlp.up_proj"
    case "ffn_down": "mlp.down_proj"
    default: nil
    }
  return part.map { "model.layers.\(layer).\($0).weight" }
}

/// The tensors of a mapped GGUF file under Hugging Face's names.
///
/// The converter permutes the rows of q and k for llama.cpp's rotary layout, which rotates neighbours: within a head, row
/// 2j + i of the file is row i * headDim/2 + j of the checkpoint. Reading undoes it.
final class GGUFTensors: TensorStore {
  private let file: MappedFile
  private let tensors: [String: GGUFHeader.Tensor]
  private let headDim: Int
  let names: [String]

  init(file: MappedFile, tensors: [String: GGUFHeader.Tensor], configuration: ModelConfiguration) {
    self.file = file
    self.tensors = tensors
    headDim = configuration.headDim
    names = tensors.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  func shape(of name: String) -> [Int]? { tensors[name].map { $0.dimensions.reversed() } }

  func storedType(of name: String) -> String? { tensors[name]?.type.rawValue }

  func read(_ name: String, rows: Range<Int>, into target: UnsafeMutableBufferPointer<Float>) {
    guard let tensor = tensors[name] else { preconditionFailure("no tensor '\(name)'") }
    let bytes = unsafe UnsafeRawBufferPointer(rebasing: file.bytes[tensor.range])
    guard tensor.dimensions.count > 1 else {
      // A vector's rows are its values; only the plain types, which norms have, can begin anywhere.
      if rows.count == tensor.dimensions[0] { return unsafe tensor.type.widen(bytes, into: target) }
      let size = tensor.type.blockSize
      precondition(tensor.type.blockLength == 1, "part of a quantised vector '\(name)'")
      return unsafe tensor.type.widen(
        UnsafeRawBufferPointer(rebasing: bytes[rows.lowerBound * size..<rows.upperBound * size]), into: target)
    }
    let rowSize = bytes.count / tensor.dimensions.dropFirst().reduce(1, *)
    guard name.hasSuffix("q_proj.weight") || name.hasSuffix("k_proj.weight") else {
      return unsafe tensor.type.widen(
        UnsafeRawBufferPointer(rebasing: bytes[rows.lowerBound * rowSize..<rows.upperBound * rowSize]), into: target)
    }
    let rowLength = tensor.dimensions[0]
    for (index, row) in rows.enumerated() {
      let source = rowInFile(of: row)
      unsafe tensor.type.widen(
        UnsafeRawBufferPointer(rebasing: bytes[source * rowSize..<(source + 1) * rowSize]),
        into: UnsafeMutableBufferPointer(rebasing: target[index * rowLength..<(index + 1) * rowLength]))
    }
  }

  private func rowInFile(of row: Int) -> Int { rowInGGUF(of: row, headDim: headDim) }
}

/// Where the converter puts a row of q or k.
func rowInGGUF(of row: Int, headDim: Int) -> Int {
  let (head, inHead) = row.quotientAndRemainder(dividingBy: headDim)
  let (half, pair) = inHead.quotientAndRemainder(dividingBy: headDim / 2)
  return head * headDim + 2 * pair + half
}
