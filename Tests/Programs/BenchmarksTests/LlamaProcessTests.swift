import SystemSupport
import Testing

@testable import Benchmarks

/// What is said to `etc/lib/llama-bench`, and what comes of its answers. In its place stands a shell that answers as it does.
@Suite struct LlamaProcessTests {
  /// An environment whose "Python" runs these lines of shell, with its socket as descriptor 3.
  private func withEnvironment(_ shell: String, _ body: (_ environment: String, _ script: String) throws -> Void) throws
  {
    try withTemporaryDirectory { directory in
      try FileSystem.createDirectories("\(directory)/bin")
      try FileSystem.writeAtomically("\(directory)/bin/python", Array("#!/bin/sh\n\(shell)\n".utf8), mode: 0o755)
      try body(directory, "\(directory)/bin/python")
    }
  }

  private func start(_ environment: String, _ script: String) throws -> LlamaProcess {
    try LlamaProcess(environment: environment, script: script, model: "a b.gguf", threads: 2, context: 99)
  }

  @Test func whatIsAskedIsALineAndSoIsTheAnswer() throws {
    // It answers with what it was asked, as the version: the first half of the line, and later the other.
    let shell = #"""
      read -r line <&3
      printf '{"version": "1.2", ' >&3
      printf '"system": "%s"}\n' "$(echo "$line" | tr '"' "'")" >&3
      read -r line <&3
      [ "$line" = '{"prompt":[7,8],"tokens":3}' ] && echo '{"prefill": 0.5, "decode": 1.25}' >&3
      read -r line <&3
      echo '{"prefill": 0.5}' >&3
      read -r line <&3
      echo '{"error": "RuntimeError: no room"}' >&3
      read -r line <&3
      exit 7
      """#
    try withEnvironment(shell) { environment, script in
      let llama = try start(environment, script)
      #expect(llama.version == "1.2 ({'model':'a b.gguf','threads':2,'context':99})")
      let times = try llama.generate([7, 8], count: 3)
      #expect(times.prefill == 0.5 && times.decode == 1.25)
      for expected in [
        #"llama-bench answered {"prefill":0.5}"#, "llama-bench: RuntimeError: no room",
        "llama-bench ended with exit code 7 before it answered",
      ] {
        let error = #expect(throws: BenchmarkError.self) { try llama.generate([1], count: 1) }
        #expect(error?.description == expected)
      }
    }
  }

  @Test func whatIsNotThereIsNamedWithWhoMakesIt() throws {
    let error = #expect(throws: BenchmarkError.self) {
      _ = try LlamaProcess(environment: "/nonexistent", model: "m", threads: 1, context: 1)
    }
    #expect(error?.description == "cannot read '/nonexistent/bin/python'; etc/lib/make-llama makes it")
    let llama = try #require(Benchmark.all.first { $0.name == "llama" })
    var errors = ""
    #expect(runBenchmarks(["llama"], among: [llama], output: { _ in }, note: { errors += $0 }) == 1)
    #expect(errors.contains("llama needs --llama DIRECTORY, which etc/lib/make-llama makes"))
  }
}
