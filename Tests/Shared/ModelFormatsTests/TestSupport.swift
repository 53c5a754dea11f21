import Foundation
import Glibc
import SystemSupport

func writeFile(_ path: String, _ bytes: [UInt8]) throws {
  let file = try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC)
  try file.write(all: bytes)
}

func truncateFile(_ path: String, to size: Int) throws {
  try systemCall("truncate", path) { unsafe truncate(path, off_t(size)) }
}

func fixture(_ name: String) -> String { Bundle.module.bundlePath + "/Fixtures/" + name }
