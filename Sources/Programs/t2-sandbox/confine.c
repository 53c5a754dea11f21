#define _GNU_SOURCE
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// --- Resources ---

int limit_resources(uint64_t seconds, uint64_t memory) {
  const struct {
    int resource;
    uint64_t soft, hard;
  } limits[] = {
      // SIGXCPU at the soft limit, SIGKILL at the hard one.
      {RLIMIT_CPU, seconds, seconds + 1},
      {RLIMIT_AS, memory, memory},
      {RLIMIT_FSIZE, 8 << 20, 8 << 20},
      {RLIMIT_NOFILE, 64, 64},
      // Counted over all of a user's processes and threads, so that this leaves a program few threads, or none. Binds no root.
      {RLIMIT_NPROC, 8, 8},
      {RLIMIT_CORE, 0, 0},
      {RLIMIT_MSGQUEUE, 0, 0},
      {RLIMIT_MEMLOCK, 0, 0},
  };
  for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
    struct rlimit now;
    if (getrlimit(limits[i].resource, &now) < 0) return -1;
    // A limit that was imposed on us stays where it is lower.
    struct rlimit wanted = {.rlim_cur = limits[i].soft, .rlim_max = limits[i].hard};
    if (wanted.rlim_max > now.rlim_max) wanted.rlim_max = now.rlim_max;
    if (wanted.rlim_cur > wanted.rlim_max) wanted.rlim_cur = wanted.rlim_max;
    if (setrlimit(limits[i].resource, &wanted) < 0) return -1;
  }
  return 0;
}

// --- Files ---

// Of linux/landlock.h, which the oldest system that t2d is built on has in an older edition.
struct ruleset {
  uint64_t files, network, scoped;
};
struct path_rule {
  uint64_t allowed;
  int32_t directory;
} __attribute__((packed));

enum {
  EXECUTE = 1 << 0,
  WRITE_FILE = 1 << 1,
  READ_FILE = 1 << 2,
  READ_DIRECTORY = 1 << 3,
  TRUNCATE = 1 << 14,
  // Of a directory of one's own: also removing and making directories, files and symbolic links.
  REMOVE_DIRECTORY = 1 << 4,
  REMOVE_FILE = 1 << 5,
  MAKE_DIRECTORY = 1 << 7,
  MAKE_FILE = 1 << 8,
  MAKE_SYMBOLIC_LINK = 1 << 12,
  REFER = 1 << 13,
};

// A path that is not there needs no rule.
static int allow(int ruleset, uint64_t handled, const char *path, uint64_t allowed) {
  int fd = open(path, O_PATH | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
  struct stat status;
  int result = fstat(fd, &status);
  if (!result) {
    // What only directories have is refused for a file.
    if (!S_ISDIR(status.st_mode)) allowed &= EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE;
    struct path_rule rule = {.allowed = allowed & handled, .directory = fd};
    result = (int)syscall(SYS_landlock_add_rule, ruleset, 1 /* LANDLOCK_RULE_PATH_BENEATH */, &rule, 0);
  }
  close(fd);
  return result;
}

// The tree that an interpreter lies in, "/opt/python" of "/opt/python/bin/python3"; nothing where that is the root.
static int allow_prefix(int ruleset, uint64_t handled, const char *interpreter) {
  char prefix[PATH_MAX];
  snprintf(prefix, sizeof prefix, "%s", interpreter);
  for (int up = 0; up < 2; up++) {
    char *slash = strrchr(prefix, '/');
    if (!slash || slash == prefix) return 0;
    *slash = '\0';
  }
  return allow(ruleset, handled, prefix, READ_FILE | READ_DIRECTORY | EXECUTE);
}

int restrict_files(const char *interpreter, const char *program, const char *work) {
  long version = syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* LANDLOCK_CREATE_RULESET_VERSION */);
  if (version < 0) return -1;
  // What each version of the interface handles (man 7 landlock): everything that is handled and not allowed is denied.
  struct ruleset rules = {.files = (1 << 13) - 1};
  if (version >= 2) rules.files |= REFER;
  if (version >= 3) rules.files |= TRUNCATE;
  if (version >= 4) rules.network = 3;  // binding and connecting TCP
  if (version >= 5) rules.files |= 1 << 15;  // ioctl on devices
  if (version >= 6) rules.scoped = 3;  // abstract Unix sockets and signals
  int ruleset = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof rules, 0);
  if (ruleset < 0) return -1;

  char resolved[PATH_MAX];
  int result = realpath(interpreter, resolved) ? 0 : -1;
  // The interpreter as it is named (of a virtual environment) and as the link that it is leads.
  if (!result) result = allow_prefix(ruleset, rules.files, interpreter);
  if (!result) result = allow_prefix(ruleset, rules.files, resolved);
  const char *const readable[] = {"/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime",
                                  "/dev/zero", "/dev/urandom", "/dev/random", resolved, program};
  for (size_t i = 0; i < sizeof readable / sizeof *readable && !result; i++)
    result = allow(ruleset, rules.files, readable[i], READ_FILE | READ_DIRECTORY | EXECUTE);
  if (!result) result = allow(ruleset, rules.files, "/dev/null", READ_FILE | WRITE_FILE | TRUNCATE);
  if (!result)
    result = allow(ruleset, rules.files, work,
                   READ_FILE | READ_DIRECTORY | WRITE_FILE | TRUNCATE | REMOVE_DIRECTORY | REMOVE_FILE |
                       MAKE_DIRECTORY | MAKE_FILE | MAKE_SYMBOLIC_LINK | REFER);
  if (!result) result = (int)syscall(SYS_landlock_restrict_self, ruleset, 0);
  int failure = errno;
  close(ruleset);
  errno = failure;
  return result;
}

// --- System calls ---

#if defined(__x86_64__)
#define OWN_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OWN_ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#ifndef OWN_ARCHITECTURE
int restrict_calls(void) {
  errno = ENOSYS;
  return -1;
}
#else

// A list of what is forbidden and not of what is allowed. What an interpreter and its C library call changes from version
// to version and with what a program imports, and a call that is missing from a list of allowed ones shows in a rare branch
// only, as an answer that counts as wrong. So calls that were known when this was written are judged one by one, and newer
// ones do not exist; and the other protections stand behind this one.
static const int forbidden[] = {
    // The network. What needs a pair of pipes may have socketpair(AF_UNIX).
    SYS_socket, SYS_connect, SYS_bind, SYS_listen, SYS_accept, SYS_accept4,
    // Processes: threads only, below.
#ifdef SYS_fork
    SYS_fork, SYS_vfork,
#endif
    // Others' memory and files.
    SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_process_madvise, SYS_kcmp, SYS_pidfd_open,
    SYS_pidfd_getfd, SYS_pidfd_send_signal, SYS_name_to_handle_at, SYS_open_by_handle_at,
    // Memory that RLIMIT_AS does not count, and what outlives the process.
    SYS_memfd_create, SYS_memfd_secret, SYS_shmget, SYS_shmat, SYS_msgget, SYS_semget, SYS_mq_open, SYS_add_key,
    SYS_request_key, SYS_keyctl,
    // Other views of the system.
    SYS_unshare, SYS_setns, SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_move_mount, SYS_open_tree,
    SYS_fsopen, SYS_fsmount, SYS_fsconfig, SYS_fspick, SYS_mount_setattr,
    // Ways around this filter, and where the kernel's own faults have been found.
    SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register, SYS_bpf, SYS_perf_event_open, SYS_userfaultfd,
    SYS_fanotify_init, SYS_quotactl, SYS_quotactl_fd, SYS_acct, SYS_swapon, SYS_swapoff, SYS_reboot, SYS_kexec_load,
#ifdef SYS_kexec_file_load
    SYS_kexec_file_load,
#endif
    SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_settimeofday, SYS_clock_settime, SYS_clock_adjtime,
    SYS_adjtimex, SYS_sethostname, SYS_setdomainname, SYS_syslog,
#ifdef SYS_iopl
    SYS_iopl, SYS_ioperm, SYS_modify_ldt,
#endif
};

// What a process may do to others of its user, and where it is the worker's own user to the worker: their share of the
// processors and where their memory lies. Refused and not ended, since some libraries ask for it of themselves.
static const int denied_calls[] = {
    SYS_setpriority, SYS_ioprio_set, SYS_sched_setaffinity, SYS_sched_setscheduler, SYS_sched_setparam,
    SYS_sched_setattr, SYS_migrate_pages, SYS_move_pages, SYS_process_mrelease,
};

// The last call of Linux 5.17, whose numbers are the same on both architectures. Newer ones answer as on an older kernel,
// for which every C library is prepared.
enum { NEWEST_CALL = 450 /* set_mempolicy_home_node */ };

struct filter {
  struct sock_filter code[256];
  unsigned short count;
};

static void add(struct filter *filter, struct sock_filter instruction) {
  if (filter->count >= sizeof filter->code / sizeof *filter->code) abort();
  filter->code[filter->count++] = instruction;
}

#define OP(code, k) ((struct sock_filter)BPF_STMT(code, k))
#define JUMP(code, k, yes, no) ((struct sock_filter)BPF_JUMP(code, k, yes, no))
#define LOAD(member) OP(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))

// What becomes of `call` where the test of its first argument holds, and where not.
static void decide(struct filter *filter, long call, unsigned short test, uint32_t value, uint32_t then,
                   uint32_t otherwise) {
  add(filter, JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 4));
  add(filter, LOAD(args[0]));  // its lower half: both architectures are little-endian
  add(filter, JUMP(BPF_JMP | test | BPF_K, value, 0, 1));
  add(filter, OP(BPF_RET | BPF_K, then));
  add(filter, OP(BPF_RET | BPF_K, otherwise));
}

static void refuse(struct filter *filter, long call, uint32_t how) {
  add(filter, JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1));
  add(filter, OP(BPF_RET | BPF_K, how));
}

int restrict_calls(void) {
  const uint32_t end = SECCOMP_RET_KILL_PROCESS, denied = SECCOMP_RET_ERRNO | EPERM, allowed = SECCOMP_RET_ALLOW;
  const uint32_t self = (uint32_t)getpid();
  struct filter filter = {.count = 0};
  add(&filter, LOAD(arch));
  add(&filter, JUMP(BPF_JMP | BPF_JEQ | BPF_K, OWN_ARCHITECTURE, 1, 0));
  add(&filter, OP(BPF_RET | BPF_K, end));
  add(&filter, LOAD(nr));
#if defined(__x86_64__)
  // The x32 interface has numbers of its own.
  add(&filter, JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x40000000, 0, 1));
  add(&filter, OP(BPF_RET | BPF_K, end));
#endif
  add(&filter, JUMP(BPF_JMP | BPF_JGT | BPF_K, NEWEST_CALL, 0, 1));
  add(&filter, OP(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS));
  for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++) refuse(&filter, forbidden[i], end);
  for (size_t i = 0; i < sizeof denied_calls / sizeof *denied_calls; i++) refuse(&filter, denied_calls[i], denied);
  // The flags of clone3 lie in memory, where a filter cannot look: without it glibc falls back to clone.
  refuse(&filter, SYS_clone3, SECCOMP_RET_ERRNO | ENOSYS);
  decide(&filter, SYS_clone, BPF_JSET, CLONE_THREAD, allowed, end);
  decide(&filter, SYS_socketpair, BPF_JEQ, AF_UNIX, allowed, end);
  // Signals to itself, as abort() sends one, and to nobody else.
  decide(&filter, SYS_kill, BPF_JEQ, self, allowed, denied);
  decide(&filter, SYS_tgkill, BPF_JEQ, self, allowed, denied);
  refuse(&filter, SYS_tkill, denied);
  refuse(&filter, SYS_rt_sigqueueinfo, denied);
  refuse(&filter, SYS_rt_tgsigqueueinfo, denied);
  decide(&filter, SYS_prlimit64, BPF_JEQ, 0, allowed, denied);
  // Nothing may outlive the supervisor.
  decide(&filter, SYS_prctl, BPF_JEQ, PR_SET_PDEATHSIG, denied, allowed);
  add(&filter, OP(BPF_RET | BPF_K, allowed));

  struct sock_fprog program = {.len = filter.count, .filter = filter.code};
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}
#endif
