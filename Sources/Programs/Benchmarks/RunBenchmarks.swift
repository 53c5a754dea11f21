import LinearAlgebra
import SystemSupport

/// The whole of `t2bench`: reads the arguments (without the program's name), measures, prints, and returns the exit code.
package func runBenchmarks(_ arguments: some Sequence<String>) -> Int32 {
  BLAS.restartWithDeservedKernelIfNeeded()
  let arguments = Array(arguments)
  if arguments.first == "sibling" { return makeSibling(arguments.dropFirst()) }
  let options: BenchmarkOptions
  do throws(BenchmarkError) {
    options = try BenchmarkOptions(arguments)
  } catch {
    BenchmarkContext.printError("t2bench: \(error)\n")
    return 3
  }
  if options.help {
    print(BenchmarkOptions.usage, terminator: "")
    return 0
  }

  let context = BenchmarkContext(options: options)
  var report = BenchmarkReport(
    kernel: BLAS.kernel, cores: context.pool.threadCount, model: FileSystem.split(options.model).name)
  for benchmark in options.benchmarks {
    context.say("\(benchmark.name): \(benchmark.summary)")
    var entry = BenchmarkReport.Entry(name: benchmark.name, seconds: 0, measurements: [], failure: nil)
    entry.seconds = context.seconds {
      do {
        entry.measurements = try benchmark.run(context)
      } catch {
        entry.failure = "\(error)"
        context.say("t2bench: \(benchmark.name) failed: \(error)")
      }
    }
    report.entries.append(entry)
  }
  print(options.json ? report.json.jsonText + "\n" : report.table, terminator: "")
  return report.entries.contains { $0.failure != nil } ? 1 : 0
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
