import Foundation
import Glibc
import SystemSupport

struct SplitMix {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

func writeFile(_ path: String, _ bytes: [UInt8]) throws {
  let file = try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC)
  try file.write(all: bytes)
}

func truncateFile(_ path: String, to size: Int) throws {
  try systemCall("truncate", path) { unsafe truncate(path, off_t(size)) }
}

func fixture(_ name: String) -> String { Bundle.module.bundlePath + "/Fixtures/" + name }
