// the program's main comes with its target
