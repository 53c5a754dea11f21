#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const char *t2_error_name(int number) { return strerrorname_np(number); }

const char *t2_error_text(int number) { return strerrordesc_np(number); }

// --- Readiness ---

int t2_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

int t2_epoll_control(int epoll, int operation, int fd, uint32_t events, uint64_t token) {
  struct epoll_event event = {.events = events, .data.u64 = token};
  return epoll_ctl(epoll, operation, fd, &event);
}

int t2_epoll_wait(int epoll, struct t2_epoll_event *events, int count, int timeout_ms) {
  struct epoll_event buffer[256];
  if (count > 256) count = 256;
  int found = epoll_wait(epoll, buffer, count, timeout_ms);
  for (int i = 0; i < found; i++) {
    events[i].token = buffer[i].data.u64;
    events[i].events = buffer[i].events;
  }
  return found;
}

int t2_eventfd(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

int t2_signalfd(const int *signals, int count) {
  sigset_t set;
  sigemptyset(&set);
  for (int i = 0; i < count; i++) sigaddset(&set, signals[i]);
  int failure = pthread_sigmask(SIG_BLOCK, &set, NULL);
  if (failure) {
    errno = failure;
    return -1;
  }
  return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int t2_signalfd_read(int fd) {
  struct signalfd_siginfo info;
  ssize_t count = read(fd, &info, sizeof info);
  if (count == (ssize_t)sizeof info) return (int)info.ssi_signo;
  if (count < 0 && errno != EAGAIN) return -1;
  return 0;
}

int t2_mask_signals(int block, sigset_t *saved) {
  int failure;
  if (block) {
    sigset_t set;
    sigfillset(&set);
    // The synchronous ones must reach the thread that caused them.
    const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(&set, faults[i]);
    failure = pthread_sigmask(SIG_BLOCK, &set, saved);
  } else {
    failure = pthread_sigmask(SIG_SETMASK, saved, NULL);
  }
  if (!failure) return 0;
  errno = failure;
  return -1;
}

// --- Sockets ---

int t2_peer_credentials(int socket, pid_t *pid, uid_t *uid, gid_t *gid) {
  struct ucred credentials;
  socklen_t size = sizeof credentials;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0) return -1;
  *pid = credentials.pid;
  *uid = credentials.uid;
  *gid = credentials.gid;
  return 0;
}

int t2_peer_groups(int socket, gid_t *groups, int capacity) {
  socklen_t size = (socklen_t)(capacity * (int)sizeof(gid_t));
  if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0 && errno != ERANGE) return -1;
  return (int)(size / sizeof(gid_t));
}

int t2_socketpair(int sockets[2]) { return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets); }

ssize_t t2_send_descriptor(int socket, const void *bytes, size_t count, int fd, int flags) {
  struct iovec part = {.iov_base = (void *)bytes, .iov_len = count};
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int))];
  } control;
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (fd >= 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.space;
    message.msg_controllen = sizeof control.space;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  return sendmsg(socket, &message, flags | MSG_NOSIGNAL);
}

ssize_t t2_receive_descriptor(int socket, void *bytes, size_t count, int *fd, int flags) {
  struct iovec part = {.iov_base = bytes, .iov_len = count};
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(16 * sizeof(int))];
  } control;
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
  *fd = -1;
  ssize_t received = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
  if (received < 0) return -1;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    size_t descriptors = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < descriptors; i++) {
      int one;
      memcpy(&one, CMSG_DATA(header) + i * sizeof one, sizeof one);
      if (*fd < 0) *fd = one;
      else close(one);
    }
  }
  return received;
}

int t2_unix_socket(int nonblocking) {
  return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0), 0);
}

// Fills an address; its length, or -1.
static int unix_address(const char *path, struct sockaddr_un *address) {
  size_t length = strlen(path);
  if (length == 0 || length >= sizeof address->sun_path) {
    errno = length == 0 ? ENOENT : ENAMETOOLONG;
    return -1;
  }
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, path, length);
  if (path[0] == '@') {
    address->sun_path[0] = '\0';
    return (int)(offsetof(struct sockaddr_un, sun_path) + length);
  }
  return (int)(offsetof(struct sockaddr_un, sun_path) + length + 1);
}

int t2_unix_connect(int socket, const char *path) {
  struct sockaddr_un address;
  int length = unix_address(path, &address);
  if (length < 0) return -1;
  return connect(socket, (struct sockaddr *)&address, (socklen_t)length);
}

int t2_unix_bind(int socket, const char *path) {
  struct sockaddr_un address;
  int length = unix_address(path, &address);
  if (length < 0) return -1;
  return bind(socket, (struct sockaddr *)&address, (socklen_t)length);
}

int t2_accept(int socket) { return accept4(socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK); }

int t2_loopback_socket(int ipv6) {
  int fd = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  int on = 1;
  if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0) return fd;
  int failure = errno;
  close(fd);
  errno = failure;
  return -1;
}

union loopback {
  struct sockaddr any;
  struct sockaddr_in four;
  struct sockaddr_in6 six;
};

static socklen_t loopback_address(int ipv6, uint16_t port, union loopback *address) {
  memset(address, 0, sizeof *address);
  if (ipv6) {
    address->six = (struct sockaddr_in6){
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    return sizeof address->six;
  }
  address->four = (struct sockaddr_in){
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  return sizeof address->four;
}

int t2_loopback_connect(int socket, int ipv6, uint16_t port) {
  union loopback address;
  socklen_t length = loopback_address(ipv6, port, &address);
  return connect(socket, &address.any, length);
}

int t2_loopback_bind(int socket, int ipv6, uint16_t port) {
  union loopback address;
  socklen_t length = loopback_address(ipv6, port, &address);
  return bind(socket, &address.any, length);
}

int t2_bound_port(int socket) {
  union loopback address;
  socklen_t length = sizeof address;
  if (getsockname(socket, &address.any, &length) < 0) return -1;
  return ntohs(address.any.sa_family == AF_INET6 ? address.six.sin6_port : address.four.sin_port);
}

int t2_connection_error(int socket) {
  int failure = 0;
  socklen_t size = sizeof failure;
  return getsockopt(socket, SOL_SOCKET, SO_ERROR, &failure, &size) < 0 ? -1 : failure;
}

int t2_send_timeout(int socket, int milliseconds) {
  struct timeval time = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
  return setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
}

int t2_unix_send_datagram(const char *path, const void *bytes, size_t count) {
  struct sockaddr_un address;
  int length = unix_address(path, &address);
  if (length < 0) return -1;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  ssize_t sent = sendto(fd, bytes, count, MSG_NOSIGNAL, (struct sockaddr *)&address, (socklen_t)length);
  int failure = errno;
  close(fd);
  errno = failure;
  return sent < 0 ? -1 : 0;
}

// --- Files ---

int t2_rename_exchange(int from_directory, const char *from, int to_directory, const char *to) {
  return (int)syscall(SYS_renameat2, from_directory, from, to_directory, to, RENAME_EXCHANGE);
}

int t2_open_unnamed(int directory, mode_t mode) {
  return openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
}

int t2_link_descriptor(int fd, int directory, const char *name) {
  // By way of /proc, since AT_EMPTY_PATH needs CAP_DAC_READ_SEARCH (man 2 open, O_TMPFILE).
  char source[64];
  snprintf(source, sizeof source, "/proc/self/fd/%d", fd);
  return linkat(AT_FDCWD, source, directory, name, AT_SYMLINK_FOLLOW);
}

int t2_synchronize_file_system(int fd) { return syncfs(fd); }

int t2_reserve(int fd, int64_t size) {
  int result = fallocate(fd, 0, 0, size);
  return result < 0 && errno == EOPNOTSUPP ? ftruncate(fd, size) : result;
}

int t2_lease_read(int fd) { return fcntl(fd, F_SETLEASE, F_RDLCK); }

int t2_lease_release(int fd) { return fcntl(fd, F_SETLEASE, F_UNLCK); }

int64_t t2_file_system_type(int fd) {
  struct statfs facts;
  if (fstatfs(fd, &facts) < 0) return -1;
  return (int64_t)(uint64_t)(unsigned long)facts.f_type;
}

const char *t2_next_entry(DIR *directory, unsigned char *type) {
  errno = 0;
  struct dirent *entry = readdir(directory);
  if (!entry) return NULL;
  *type = entry->d_type;
  return entry->d_name;
}

int t2_stat(int directory, const char *path, int follow, struct stat *out) {
  return fstatat(directory, path, out, follow ? 0 : AT_SYMLINK_NOFOLLOW);
}

int t2_window_columns(int fd) {
  struct winsize size;
  if (ioctl(fd, TIOCGWINSZ, &size) < 0) return -1;
  return size.ws_col;
}

// --- Processes ---

int t2_spawn(const char *path, char *const argv[], char *const envp[], int socket, pid_t *pid) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  int failure = posix_spawn_file_actions_init(&actions);
  if (failure) return failure;
  failure = posix_spawnattr_init(&attributes);
  if (failure) {
    posix_spawn_file_actions_destroy(&actions);
    return failure;
  }
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  // The socket goes to 3 first: were it 0 (stdin closed in the parent), /dev/null would take its place.
  if (!failure && socket >= 0) failure = posix_spawn_file_actions_adddup2(&actions, socket, 3);
  if (!failure) failure = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  if (!failure) failure = posix_spawn_file_actions_adddup2(&actions, 2, 1);
  if (!failure) failure = posix_spawn_file_actions_addclosefrom_np(&actions, socket >= 0 ? 4 : 3);
  if (!failure) failure = posix_spawnattr_setsigmask(&attributes, &none);
  if (!failure) failure = posix_spawnattr_setsigdefault(&attributes, &all);
  if (!failure)
    failure = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  if (!failure) failure = posix_spawn(pid, path, &actions, &attributes, argv, envp);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return failure;
}

int t2_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

int t2_pidfd_send_signal(int pidfd, int signal) {
  return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

int t2_wait(pid_t pid, int block, int *code, int *signal) {
  int status = 0;
  pid_t found;
  do found = waitpid(pid, &status, block ? 0 : WNOHANG);
  while (found < 0 && errno == EINTR);
  if (found <= 0) return (int)found;
  *code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  *signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  return 1;
}

int t2_set_parent_death_signal(int signal) { return prctl(PR_SET_PDEATHSIG, (unsigned long)signal, 0, 0, 0); }

int t2_set_no_new_privileges(void) { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }

int t2_set_dumpable(int on) { return prctl(PR_SET_DUMPABLE, (unsigned long)on, 0, 0, 0); }

int t2_set_thread_name(const char *name) { return prctl(PR_SET_NAME, name, 0, 0, 0); }

int t2_set_nice(int value) { return setpriority(PRIO_PROCESS, 0, value); }

int t2_set_batch_scheduling(void) {
  struct sched_param parameters = {.sched_priority = 0};
  return sched_setscheduler(0, SCHED_BATCH, &parameters);
}

int t2_set_time_slice(uint64_t nanoseconds) {
  // struct sched_attr of sched_setattr(2), version 0, which glibc declares since 2.41 only.
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
  } attributes;
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) < 0) return -1;
  attributes.runtime = nanoseconds;
  return (int)syscall(SYS_sched_setattr, 0, &attributes, 0);
}

static int limit(int resource, uint64_t bytes) {
  struct rlimit now;
  if (getrlimit(resource, &now) < 0) return -1;
  if (now.rlim_max != RLIM_INFINITY && bytes > now.rlim_max) bytes = now.rlim_max;
  now.rlim_cur = now.rlim_max = bytes;
  return setrlimit(resource, &now);
}

int t2_limit_data(uint64_t bytes) { return limit(RLIMIT_DATA, bytes); }

int t2_limit_core(uint64_t bytes) { return limit(RLIMIT_CORE, bytes); }

int t2_return_allocations_from(int bytes) { return mallopt(M_MMAP_THRESHOLD, bytes); }
