// What a program may not do, applied by itself before it begins: each function returns 0, or -1 with errno.
#pragma once
#include <stdint.h>

// The protections, and their names in arguments and reports: SandboxProtection of the target Sandbox has the same.
enum protection {
  USER = 1 << 0,
  NO_NEW_PRIVILEGES = 1 << 1,
  LIMITS = 1 << 2,
  SECCOMP = 1 << 3,
  LANDLOCK = 1 << 4,
  NETWORK_NAMESPACE = 1 << 5,
  PROCESS_NAMESPACE = 1 << 6,
  BOUNDED_DIRECTORY = 1 << 7,
};

// Limits of man 2 setrlimit: processor seconds, address space, files, and no core file.
int limit_resources(uint64_t seconds, uint64_t memory);
// man 7 landlock: reading what the interpreter needs, writing in `work` alone. ENOSYS or EOPNOTSUPP without Landlock.
int restrict_files(const char *interpreter, const char *program, const char *work);
// man 2 seccomp: no sockets, no new processes, nothing of the kernel's machinery, no others' shares of the machine. A
// process that tries one of the first three gets SIGSYS.
int restrict_calls(void);
