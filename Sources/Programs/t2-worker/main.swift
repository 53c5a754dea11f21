import Glibc
import Worker

// `exit`, and not an end of `main`: threads may still compute for a daemon that is no longer there.
exit(WorkerProgram.run(CommandLine.arguments))
