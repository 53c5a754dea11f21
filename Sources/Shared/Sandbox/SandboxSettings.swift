package import Records

/// What runs programs, as whom, and how much they may use: the configuration's `code`, and what the worker is told of it.
package struct SandboxSettings: Record {
  @Setting("path of python3, or of what stands for it: a program and not a script, which every user may read")
  package var interpreter = "/usr/bin/python3"
  /// It must not be root.
  @Setting("user that the programs run as where t2d runs as root; where it does not, they run as t2d's own user")
  package var user = "nobody"
  @Setting("seconds after which a program is ended, with all that it started", 0.1...3600, name: "timeout_seconds")
  package var timeout: Duration = .seconds(5)
  /// Less than 32 MiB does not hold an interpreter.
  @Setting("bytes of address space of a program", 32 << 20...1 << 40, name: "memory_limit")
  package var memoryBytes: Int64 = 512 << 20
  /// Without these two a program could write what t2d's own user can, its state among it, where t2d is not root.
  @Setting("protections without which no program is run", name: "require")
  package var required: [SandboxProtection] = [.seccomp, .landlock]

  package init() {}
}

/// What keeps a program from doing harm. Each stands by itself: where the kernel or a container lacks one, the others hold.
///
/// The names are those of `t2-sandbox`, of the configuration's `code.require`, and of results.
package enum SandboxProtection: String, Choice {
  /// Not root: another user where the worker is root, the worker's own otherwise (man 2 setresuid).
  case user
  /// No program that it starts gains rights (man 2 prctl, PR_SET_NO_NEW_PRIVS).
  case noNewPrivileges = "no_new_privileges"
  /// Processor time, address space, sizes of files, descriptors, processes (man 2 setrlimit).
  case limits
  /// No sockets, no new processes, no calls that change the system (man 2 seccomp).
  case seccomp
  /// Reads what the interpreter needs and writes in its own directory (man 7 landlock).
  case landlock
  /// No network but a loopback that is down (man 7 network_namespaces).
  case networkNamespace = "network_namespace"
  /// Sees no other process, and all that it started ends with it (man 7 pid_namespaces).
  case processNamespace = "process_namespace"
  /// Its directory is a file system of its own, of 32 MB and 1024 files (man 5 tmpfs, man 7 mount_namespaces).
  case boundedDirectory = "bounded_directory"
}
