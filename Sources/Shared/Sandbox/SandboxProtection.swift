/// What keeps a program from doing harm. Each stands by itself: where the kernel or a container lacks one, the others hold.
///
/// The names are those of `t2-sandbox`, of the configuration's `code.require`, and of results.
package enum SandboxProtection: String, Sendable, CaseIterable {
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
