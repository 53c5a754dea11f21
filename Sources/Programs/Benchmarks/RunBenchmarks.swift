import LinearAlgebra
import SystemSupport

/// The whole of `t2bench`: reads the arguments (without the program's name), measures, prints, and returns the exit code.
package func runBenchmarks(_ arguments: some Sequence<String>) -> Int32 {
  BLAS.restartWithDeservedKernelIfNeeded()
  let arguments = Array(arguments)
  if arguments.first == "sibling" { return makeSibling(arguments.dropFirst()) }
  return runBenchmarks(
    arguments, among: Benchmark.all, output: { print($0, terminator: "") }, note: BenchmarkContext.printError)
}

/// The same of any list of benchmarks: `output` gets what goes to stdout, `note` the errors.
func runBenchmarks(
  _ arguments: [String], among all: [Benchmark], output: (String) -> Void, note: (String) -> Void
) -> Int32 {
  let options: BenchmarkOptions
  do throws(BenchmarkError) {
    options = try BenchmarkOptions(arguments, among: all)
  } catch {
    note("t2bench: \(error)\n")
    return 3
  }
  if options.help {
    output(BenchmarkOptions.usage)
    return 0
  }

  let context = BenchmarkContext(options: options)
  var report = BenchmarkReport(
    time: Logger.timestamp(), machine: .current(), kernel: BLAS.kernel, cores: context.pool.threadCount,
    model: FileSystem.split(options.model).name, record: options.record)
  for benchmark in options.benchmarks {
    context.say("\(benchmark.name): \(benchmark.summary)")
    var entry = BenchmarkReport.Entry(name: benchmark.name, seconds: 0, measurements: [], failure: nil)
    entry.seconds = context.seconds {
      do {
        entry.measurements = try benchmark.run(context)
      } catch {
        entry.failure = "\(error)"
        note("t2bench: \(benchmark.name) failed: \(error)\n")
      }
    }
    report.entries.append(entry)
  }
  output(options.json ? report.json.jsonText + "\n" : report.table)

  let shortfalls = options.record == nil ? [] : report.shortfalls
  for line in shortfalls { note("t2bench: \(line)\n") }
  return shortfalls.isEmpty && report.entries.allSatisfy { $0.failure == nil } ? 0 : 1
}

/// `t2bench sibling`: measures nothing, but needs everything that is linked here.
private func makeSibling(_ arguments: ArraySlice<String>) -> Int32 {
  do throws(BenchmarkError) {
    let sibling = try Sibling(arguments)
    let context = BenchmarkContext(options: try BenchmarkOptions([]))
    do {
      try sibling.run(context)
      return 0
    } catch {
      BenchmarkContext.printError("t2bench: cannot make a sibling of '\(sibling.model)': \(error)\n")
      return 1
    }
  } catch {
    BenchmarkContext.printError("t2bench: \(error)\n")
    return 3
  }
}
