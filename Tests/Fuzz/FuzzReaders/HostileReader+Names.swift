import Experts

extension HostileReader {
  /// What a client asks for by name: nothing that is accepted holds what could be a path, and a name is its own key.
  static let servedName = HostileReader(
    "served-name",
    texts: [
      "arc", "arc@42", "expert:science@2", "meta-llama/Llama-3.1-8B/science@1=0.7+math=0.3",
      "a=0.12345678+b@2=-1.5+c=99999999#sum", "x=0.5#delta",
    ]
  ) { bytes in
    let name = try ServedName(String(decoding: bytes, as: UTF8.self))
    let again = try ours("the normal form is refused") { try ServedName(name.description) }
    try promise(again == name, "the normal form means something else")
    try promise(again.description == name.description, "the normal form has another one")
    try promise(name.key.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 0x2F }, "the key has a byte of a path")
    let key = try ours("the key is refused") { try ServedName(name.key) }
    try promise(key.choice == name.choice && key.base == nil, "the key means something else")
  }
}
