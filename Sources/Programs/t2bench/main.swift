import Benchmarks
import Glibc

exit(runBenchmarks(CommandLine.arguments.dropFirst()))
