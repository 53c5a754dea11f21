import FuzzReaders
import Glibc
import SystemSupport

// Runs libFuzzer, whose `main` it has, on one reader. Built by etc/fuzz only, with the sanitizers that it needs.
//
//   t2fuzz                                            the names of the readers, each with the longest input that it is given
//   T2D_FUZZ_READER=NAME t2fuzz [LIBFUZZER'S ARGUMENTS]
//
// By the environment, which the processes have too that libFuzzer starts to merge inputs or to make one smaller.

/// Set before the fuzzer runs, which calls from one thread only.
nonisolated(unsafe) private var reader: HostileReader?

@_cdecl("LLVMFuzzerInitialize")
func initialize(count: UnsafeMutableRawPointer, arguments: UnsafeMutableRawPointer) -> CInt {
  guard let name = environmentVariable("T2D_FUZZ_READER") else {
    for reader in HostileReader.all { print(reader.name, reader.maximumBytes) }
    exit(0)
  }
  unsafe reader = HostileReader.all.first { $0.name == name }
  guard unsafe reader != nil else {
    print("t2fuzz: there is no reader '\(name)'; 't2fuzz' alone lists them")
    exit(2)
  }
  return 0
}

@_cdecl("LLVMFuzzerTestOneInput")
func read(bytes: UnsafePointer<UInt8>?, count: Int) -> CInt {
  do {
    try unsafe reader?.read(Array(UnsafeBufferPointer(start: bytes, count: count)))
  } catch let error as BrokenPromise {
    fatalError("a promise was broken: \(error)")
  } catch {
    // Refused, in words that must be there.
    precondition(!"\(error)".isEmpty, "a refusal without words")
  }
  return 0
}
