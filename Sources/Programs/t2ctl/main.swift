// The command line of t2d: t2ctl(1).
import ControlCommands
import Glibc

exit(runControl(Array(CommandLine.arguments.dropFirst())))
