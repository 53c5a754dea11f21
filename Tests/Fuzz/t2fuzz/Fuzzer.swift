import FuzzReaders
import Glibc

// Runs libFuzzer, whose `main` it has, on one reader. Built by etc/fuzz only, with the sanitizers that it needs.
//
//   t2fuzz                      the names of the readers, each with the longest input that it is given
//   t2fuzz READER [LIBFUZZER'S ARGUMENTS]

/// Set before the fuzzer runs, which calls from one thread only.
nonisolated(unsafe) private var reader: HostileReader?

/// Takes the reader's name off the arguments before libFuzzer looks at them.
@_cdecl("LLVMFuzzerInitialize")
func initialize(
  count: UnsafeMutablePointer<CInt>,
  arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>
) -> CInt {
  guard unsafe count.pointee > 1, let text = unsafe arguments.pointee[1] else {
    for reader in HostileReader.all { print(reader.name, reader.maximumBytes) }
    exit(0)
  }
  let name = unsafe String(cString: text)
  unsafe reader = HostileReader.all.first { $0.name == name }
  guard unsafe reader != nil else {
    print("t2fuzz: there is no reader '\(name)'; 't2fuzz' alone lists them")
    exit(2)
  }
  unsafe arguments.pointee[1] = arguments.pointee[0]
  unsafe arguments.pointee += 1
  unsafe count.pointee -= 1
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
