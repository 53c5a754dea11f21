// t2-sandbox: runs one program that nobody has read, and says how it ended. Started by t2-worker, which may not fork: a
// process with threads may call almost nothing between fork and exec (man 7 signal-safety), and this one has none.
//
//   t2-sandbox DIRECTORY INTERPRETER USER MILLISECONDS BYTES REQUIRED OMITTED
//
// DIRECTORY/program is the program, DIRECTORY/work the only place where it can write. REQUIRED and OMITTED are lists of
// protections with commas, or "-": those without which it is not run, and those that a test leaves out. Descriptor 3 is a
// socket; once the program has ended it gets
//
//   KIND NUMBER CPU_MILLISECONDS PEAK_KILOBYTES PROTECTIONS\n      exit, signal, timeout, missing or failed
//   the end of what the program wrote, or what could not be done
//
// and its hanging up, at any time, ends the program.
//
// Three processes, so that nothing outlives its purpose:
//
//   supervisor   keeps the time and the output; adopts what lost its parent (PR_SET_CHILD_SUBREAPER), and kills it
//   init         the first of a new process namespace, where there is one: with its end the kernel ends all the others
//   program      confines itself (confine.c), then becomes the interpreter
//
// Whatever the kernel refuses is left out and not named among the protections; the caller decides whether it may be.
#define _GNU_SOURCE
#include "confine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct {
  const char *name;
  unsigned protection;
} names[] = {
    {"user", USER},
    {"no_new_privileges", NO_NEW_PRIVILEGES},
    {"limits", LIMITS},
    {"seccomp", SECCOMP},
    {"landlock", LANDLOCK},
    {"network_namespace", NETWORK_NAMESPACE},
    {"process_namespace", PROCESS_NAMESPACE},
    {"bounded_directory", BOUNDED_DIRECTORY},
};
enum { NAMES = sizeof names / sizeof *names, SOCKET = 3, KEPT = 64 << 10 };

// What init and the program tell the supervisor, one record a write.
struct record {
  enum { CONFINED, EXITED, SIGNALLED, MISSING, FAILED } kind;
  int number;  // exit code, signal or errno
  unsigned protections;
  long cpu_milliseconds, peak_kilobytes;
  char step[64];
};

static struct {
  const char *interpreter, *user;
  char program[4096], work[4096];
  long milliseconds;
  unsigned long long memory;
  unsigned required, omitted;
  uid_t uid;
  gid_t gid;
} options;

static unsigned in_force;

// --- The report ---

static void send_all(const char *bytes, size_t count) {
  while (count > 0) {
    ssize_t sent = write(SOCKET, bytes, count);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return;
    bytes += sent;
    count -= (size_t)sent;
  }
}

static void list(unsigned protections, char *text, size_t size) {
  size_t used = 0;
  text[0] = '\0';
  for (int i = 0; i < NAMES; i++) {
    if (!(protections & names[i].protection) || used >= size) continue;
    used += (size_t)snprintf(text + used, size - used, "%s%s", used ? "," : "", names[i].name);
  }
  if (!used) snprintf(text, size, "-");
}

static int report(const char *kind, const struct record *record, const char *output, size_t count) {
  char protections[512], line[640];
  list(record->protections, protections, sizeof protections);
  int length = snprintf(line, sizeof line, "%s %d %ld %ld %s\n", kind, record->number, record->cpu_milliseconds,
                        record->peak_kilobytes, protections);
  send_all(line, (size_t)length);
  send_all(output, count);
  return 0;
}

static int give_up(const char *step, int number) {
  struct record record = {.number = number};
  return report("failed", &record, step, strlen(step));
}

// --- The program ---

static void tell(int fd, struct record record) {
  ssize_t ignored = write(fd, &record, sizeof record);
  (void)ignored;
}

static void stop(int status, const char *step) {
  struct record record = {.kind = FAILED, .number = errno};
  snprintf(record.step, sizeof record.step, "%s", step);
  tell(status, record);
  _exit(127);
}

static int wanted(unsigned protection) { return !(options.omitted & protection); }

// Asks for a signal when the parent ends; where it has ended already, none would come.
static void die_with(pid_t parent) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || (parent > 0 && getppid() != parent)) _exit(127);
}

static void become_program(pid_t init, int output, int status) {
  if (setsid() < 0 || chdir(options.work) < 0) stop(status, "enter the working directory");
  if (dup2(output, 1) < 0 || dup2(output, 2) < 0) stop(status, "redirect the output");
  umask(077);
  if (wanted(USER) && geteuid() == 0) {
    if (setgroups(0, NULL) < 0 || setresgid(options.gid, options.gid, options.gid) < 0 ||
        setresuid(options.uid, options.uid, options.uid) < 0)
      stop(status, "become the unprivileged user");
    // A change of the user clears it (man 2 prctl).
    die_with(init);
  }
  if (geteuid() != 0) in_force |= USER;
  if (access(options.interpreter, X_OK) < 0) stop(status, "start the interpreter");
  // After the user: a change of user that goes over RLIMIT_NPROC would make execve fail (man 2 execve, EAGAIN).
  if (wanted(LIMITS)) {
    uint64_t seconds = (uint64_t)(options.milliseconds + 999) / 1000;
    if (limit_resources(seconds, options.memory) < 0) stop(status, "limit the resources");
    in_force |= LIMITS;
  }
  // Both of the next need it where one is not root.
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0) in_force |= NO_NEW_PRIVILEGES;
  if (wanted(LANDLOCK)) {
    if (restrict_files(options.interpreter, options.program, options.work) == 0) in_force |= LANDLOCK;
    else if (errno != ENOSYS && errno != EOPNOTSUPP && errno != EPERM) stop(status, "restrict the files");
  }
  if (wanted(SECCOMP)) {
    if (restrict_calls() == 0) in_force |= SECCOMP;
    else if (errno != ENOSYS && errno != EINVAL && errno != EPERM) stop(status, "restrict the system calls");
  }
  unsigned missing = options.required & ~in_force;
  tell(status, (struct record){.kind = missing ? MISSING : CONFINED, .protections = missing ? missing : in_force});
  if (missing) _exit(127);

  char home[sizeof options.work + 8], temporary[sizeof options.work + 8];
  snprintf(home, sizeof home, "HOME=%s", options.work);
  snprintf(temporary, sizeof temporary, "TMPDIR=%s", options.work);
  char *const environment[] = {"PATH=/usr/bin:/bin", "LANG=C.UTF-8", "PYTHONHASHSEED=0", "PYTHONDONTWRITEBYTECODE=1",
                               "PYTHONSAFEPATH=1", home, temporary, NULL};
  char *const arguments[] = {(char *)options.interpreter, options.program, NULL};
  execve(options.interpreter, arguments, environment);
  stop(status, "start the interpreter");
}

// Starts the program, waits for it, and passes for the parent of whatever loses its own.
static void become_init(pid_t supervisor, int output, int status) {
  // In a namespace of its own it has no parent that it could name.
  die_with(in_force & PROCESS_NAMESPACE ? 0 : supervisor);
  prctl(PR_SET_DUMPABLE, 0);
  pid_t self = getpid();
  pid_t program = fork();
  if (program < 0) stop(status, "fork");
  if (program == 0) {
    die_with(self);
    become_program(self, output, status);
  }
  close(output);
  for (;;) {
    int how;
    struct rusage usage;
    pid_t ended = wait4(-1, &how, 0, &usage);
    if (ended < 0 && errno == EINTR) continue;
    if (ended < 0) _exit(1);
    if (ended != program) continue;
    tell(status, (struct record){
                     .kind = WIFSIGNALED(how) ? SIGNALLED : EXITED,
                     .number = WIFSIGNALED(how) ? WTERMSIG(how) : WEXITSTATUS(how),
                     .cpu_milliseconds = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000L +
                                         (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000,
                     .peak_kilobytes = usage.ru_maxrss,
                 });
    _exit(0);
  }
}

// --- The supervisor ---

static int write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t count = write(fd, text, strlen(text));
  close(fd);
  return count == (ssize_t)strlen(text) ? 0 : -1;
}

// Without privilege namespaces are made within one of users, where this user stands for itself (man 7 user_namespaces).
static void make_user_namespace(void) {
  uid_t uid = geteuid();
  gid_t gid = getegid();
  if (unshare(CLONE_NEWUSER) < 0) return;
  char map[64];
  write_file("/proc/self/setgroups", "deny");
  snprintf(map, sizeof map, "%u %u 1\n", uid, uid);
  write_file("/proc/self/uid_map", map);
  snprintf(map, sizeof map, "%u %u 1\n", gid, gid);
  write_file("/proc/self/gid_map", map);
}

static void make_namespaces(void) {
  const unsigned all = NETWORK_NAMESPACE | PROCESS_NAMESPACE | BOUNDED_DIRECTORY;
  if (geteuid() != 0 && wanted(all)) make_user_namespace();
  if (wanted(NETWORK_NAMESPACE) && unshare(CLONE_NEWNET) == 0) in_force |= NETWORK_NAMESPACE;
  if (wanted(PROCESS_NAMESPACE) && unshare(CLONE_NEWPID) == 0) in_force |= PROCESS_NAMESPACE;
  // A file system of its own has a bound, and is gone with the last process that sees it.
  if (wanted(BOUNDED_DIRECTORY) && unshare(CLONE_NEWNS) == 0) {
    char data[128];
    snprintf(data, sizeof data, "size=32m,nr_inodes=1024,mode=0700,uid=%u,gid=%u", options.uid, options.gid);
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount("tmpfs", options.work, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, data) == 0)
      in_force |= BOUNDED_DIRECTORY;
  }
}

// The children of this process, which adopted what its descendants left behind; their forks are ended first.
static void kill_children(void) {
  DIR *processes = opendir("/proc");
  if (!processes) return;
  for (struct dirent *entry; (entry = readdir(processes));) {
    int pid = atoi(entry->d_name);
    if (pid <= 1) continue;
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    ssize_t count = read(fd, text, sizeof text - 1);
    close(fd);
    if (count <= 0) continue;
    text[count] = '\0';
    // "pid (name) state parent": a name may hold anything, parentheses too.
    const char *rest = strrchr(text, ')');
    int parent = 0;
    if (!rest || sscanf(rest + 1, " %*c %d", &parent) != 1 || parent != getpid()) continue;
    const struct rlimit none = {0, 0};
    prlimit(pid, RLIMIT_NPROC, &none, NULL);
    kill(pid, SIGKILL);
  }
  closedir(processes);
}

static long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

// Ends the program and all that it has started; false where something would not go for ten seconds.
static int end_all(pid_t init) {
  kill(init, SIGKILL);
  for (long deadline = now() + 10000; now() < deadline;) {
    pid_t ended;
    do ended = waitpid(-1, NULL, WNOHANG);
    while (ended > 0 || (ended < 0 && errno == EINTR));
    if (ended < 0) return 1;
    kill_children();
    poll(NULL, 0, 1);
  }
  return 0;
}

static struct {
  char bytes[2 * KEPT];
  size_t count;
} output;

// Takes what is there, and forgets the beginning of what is too much; false at the end.
static int take_output(int fd) {
  if (output.count == sizeof output.bytes) {
    memmove(output.bytes, output.bytes + KEPT, KEPT);
    output.count = KEPT;
  }
  ssize_t count = read(fd, output.bytes + output.count, sizeof output.bytes - output.count);
  if (count > 0) output.count += (size_t)count;
  return count > 0 || (count < 0 && errno == EINTR);
}

static int supervise(pid_t init, int out, int status) {
  struct record end = {.kind = FAILED, .step = "learn how the program ended"};
  unsigned protections = 0;
  int timed_out = 0, ended = 0;
  for (long deadline = now() + options.milliseconds; !ended && !timed_out;) {
    struct pollfd files[] = {{.fd = status, .events = POLLIN}, {.fd = out, .events = POLLIN}, {.fd = SOCKET, .events = POLLIN}};
    long left = deadline - now();
    timed_out = left <= 0;
    if (timed_out || poll(files, 3, (int)left) < 0) continue;
    if (files[2].revents) {
      end_all(init);
      return 1;
    }
    if (files[1].revents && !take_output(out)) {
      close(out);
      out = -1;
    }
    if (!files[0].revents) continue;
    struct record record;
    if (read(status, &record, sizeof record) != sizeof record) ended = 1;
    else if (record.kind == CONFINED) protections = record.protections;
    // The first that says how it ended: an exit code that follows a failure is ours.
    else if (end.kind == FAILED && end.number == 0) end = record;
  }
  int gone = end_all(init);
  if (out >= 0) {
    fcntl(out, F_SETFL, O_NONBLOCK);
    // Bounded: with all writers gone a pipe holds at most its capacity.
    while (gone && take_output(out)) {}
  }
  if (!gone) return give_up("end a process that the program has started", EBUSY);
  if (end.kind != MISSING) end.protections = protections;
  if (end.kind == FAILED && !timed_out) {
    return report("failed", &end, end.step, strlen(end.step));
  }
  size_t start = output.count > KEPT ? output.count - KEPT : 0;
  const char *kind = timed_out                ? "timeout"
                     : end.kind == EXITED     ? "exit"
                     : end.kind == SIGNALLED  ? "signal"
                                              : "missing";
  return report(kind, &end, output.bytes + start, output.count - start);
}

static int parse_list(const char *text, unsigned *protections) {
  char copy[512];
  if (strcmp(text, "-") == 0) return 0;
  if (snprintf(copy, sizeof copy, "%s", text) >= (int)sizeof copy) return -1;
  for (char *rest = copy, *name; (name = strsep(&rest, ","));) {
    int i = 0;
    while (i < NAMES && strcmp(names[i].name, name) != 0) i++;
    if (i == NAMES) return -1;
    *protections |= names[i].protection;
  }
  return 0;
}

// The user that the program runs as: where we are root another one, otherwise ourselves.
static const char *find_user(void) {
  options.uid = geteuid();
  options.gid = getegid();
  if (options.uid != 0 || !wanted(USER)) return NULL;
  struct passwd *entry = getpwnam(options.user);
  if (!entry) return "find the user";
  if (entry->pw_uid == 0) return "take a user that is not root";
  options.uid = entry->pw_uid;
  options.gid = entry->pw_gid;
  return chown(options.work, options.uid, options.gid) < 0 ? "give the working directory away" : NULL;
}

int main(int count, char **arguments) {
  if (count != 8 || fcntl(SOCKET, F_SETFD, FD_CLOEXEC) < 0) {
    fprintf(stderr, "t2-sandbox is started by t2-worker and not by hand\n");
    return 3;
  }
  signal(SIGPIPE, SIG_IGN);
  options.interpreter = arguments[2];
  options.user = arguments[3];
  options.milliseconds = strtol(arguments[4], NULL, 10);
  options.memory = strtoull(arguments[5], NULL, 10);
  snprintf(options.program, sizeof options.program, "%s/program", arguments[1]);
  snprintf(options.work, sizeof options.work, "%s/work", arguments[1]);
  if (parse_list(arguments[6], &options.required) < 0 || parse_list(arguments[7], &options.omitted) < 0)
    return give_up("know all of the protections", EINVAL);
  errno = 0;
  const char *problem = find_user();
  if (problem) return give_up(problem, errno);
  if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0) return give_up("adopt processes", errno);
  make_namespaces();
  // Only now: the files by which a user namespace is made belong to root where it is off (man 5 proc).
  prctl(PR_SET_DUMPABLE, 0);

  int out[2], status[2];
  if (pipe2(out, O_CLOEXEC) < 0 || pipe2(status, O_CLOEXEC) < 0) return give_up("make a pipe", errno);
  pid_t self = getpid();
  pid_t init = fork();
  if (init < 0) return give_up("fork", errno);
  if (init == 0) {
    close(out[0]);
    close(status[0]);
    become_init(self, out[1], status[1]);
  }
  close(out[1]);
  close(status[1]);
  return supervise(init, out[0], status[0]);
}
