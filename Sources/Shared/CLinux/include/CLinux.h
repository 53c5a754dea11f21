// What Glibc's Swift overlay lacks of Linux: macros, variadic functions, unions and newer calls, each behind a plain
// function of fixed arguments. Unless it says otherwise a function returns -1 and sets errno where it fails, and every
// descriptor it makes is close-on-exec.
#pragma once
// No _GNU_SOURCE here: with it the types of the system's headers differ from those of the Glibc module.
#include <dirent.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/types.h>

// cpu_relax(): tells the core that this is a spin loop.
static inline void t2_cpu_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// "ENOENT" and its English text; null for a number that glibc does not know.
const char *t2_error_name(int number);
const char *t2_error_text(int number);

// --- Readiness: epoll, eventfd, signalfd ---

// struct epoll_event without its union and its packing.
struct t2_epoll_event {
  uint64_t token;
  uint32_t events;
};

enum {
  T2_EPOLL_IN = EPOLLIN,
  T2_EPOLL_OUT = EPOLLOUT,
  T2_EPOLL_ERROR = EPOLLERR,
  T2_EPOLL_HANGUP = EPOLLHUP,
};

int t2_epoll_create(void);
// operation: 1 add, 2 remove, 3 modify (EPOLL_CTL_*).
int t2_epoll_control(int epoll, int operation, int fd, uint32_t events, uint64_t token);
// Waits for at most `count` (itself at most 256) events; a negative timeout waits for ever.
int t2_epoll_wait(int epoll, struct t2_epoll_event *events, int count, int timeout_ms);
int t2_eventfd(void);
// Blocks the signals in the calling thread and opens a descriptor that reports them.
int t2_signalfd(const int *signals, int count);
// One pending signal's number, 0 where none is pending.
int t2_signalfd_read(int fd);
// Blocks (1) or restores (0) all asynchronous signals around the start of a thread; `saved` keeps the old mask.
int t2_mask_signals(int block, sigset_t *saved);

// --- Sockets ---

int t2_peer_credentials(int socket, pid_t *pid, uid_t *uid, gid_t *gid);
// The peer's supplementary groups at connect time; returns how many there are, which may be more than `capacity`.
int t2_peer_groups(int socket, gid_t *groups, int capacity);
int t2_socketpair(int sockets[2]);
// Sends bytes and one descriptor (none where fd is negative). Never raises SIGPIPE.
ssize_t t2_send_descriptor(int socket, const void *bytes, size_t count, int fd, int flags);
// Receives bytes and at most one descriptor, close-on-exec, into *fd (-1 where none came); further ones are closed.
ssize_t t2_receive_descriptor(int socket, void *bytes, size_t count, int *fd, int flags);
int t2_unix_socket(int nonblocking);
// Connects or binds to a path; one that does not fit in sun_path is ENAMETOOLONG.
int t2_unix_connect(int socket, const char *path);
int t2_unix_bind(int socket, const char *path);
int t2_accept(int socket);
// A TCP socket of IPv4 or IPv6 that sends what it is given at once, non-blocking; and the connection to, or the binding
// of, a port of this machine alone (127.0.0.1 or ::1). Port 0 binds to one that is free.
int t2_loopback_socket(int ipv6);
int t2_loopback_connect(int socket, int ipv6, uint16_t port);
int t2_loopback_bind(int socket, int ipv6, uint16_t port);
// The port that a TCP socket is bound to.
int t2_bound_port(int socket);
// What became of a connection that was being made: 0, or its error number; -1 where even that cannot be asked.
int t2_connection_error(int socket);
// The longest that a blocking call on the socket waits to connect or send: then it fails with EAGAIN.
int t2_send_timeout(int socket, int milliseconds);
// One datagram to a Unix address, which begins with '/' or, for an abstract one, with '@'.
int t2_unix_send_datagram(const char *address, const void *bytes, size_t count);

// --- Files ---

// Swaps two names atomically.
int t2_rename_exchange(int from_directory, const char *from, int to_directory, const char *to);
// A file without a name in this directory (O_TMPFILE), read-write; linked into place by t2_link_descriptor.
int t2_open_unnamed(int directory, mode_t mode);
int t2_link_descriptor(int fd, int directory, const char *name);
// Makes all of the file system durable that holds this descriptor.
int t2_synchronize_file_system(int fd);
// Gives a file this size and the room on the disk for it; a file system that cannot say so gives it the size.
int t2_reserve(int fd, int64_t size);
// A read lease is granted only where nobody has the file open, or mapped, for writing.
int t2_lease_read(int fd);
int t2_lease_release(int fd);
// statfs.f_type of the file system that holds this descriptor.
int64_t t2_file_system_type(int fd);
// The name of the next entry, "." and ".." included, and its DT_ type; null with errno 0 at the end.
const char *t2_next_entry(DIR *directory, unsigned char *type);
int t2_stat(int directory, const char *path, int follow, struct stat *out);
int t2_window_columns(int fd);

// --- Processes ---

// Starts `path` with default signal handlers and an empty signal mask, stdin from /dev/null, stdout sent to stderr,
// `socket` as descriptor 3, and nothing else open. Returns 0 or an error number; errno is not set.
int t2_spawn(const char *path, char *const argv[], char *const envp[], int socket, pid_t *pid);
int t2_pidfd_open(pid_t pid);
int t2_pidfd_send_signal(int pidfd, int signal);
// 1 where the child has ended (then *code is its exit code, or *signal what killed it), 0 where it runs.
int t2_wait(pid_t pid, int block, int *code, int *signal);
// Asks for `signal` when the thread that started this process ends.
int t2_set_parent_death_signal(int signal);
int t2_set_no_new_privileges(void);
int t2_set_dumpable(int on);
int t2_set_thread_name(const char *name);
int t2_set_nice(int value);
int t2_set_batch_scheduling(void);
// The calling thread's time slice, where the kernel has such (6.12): what wakes with a shorter one than that which runs does
// not wait for its end.
int t2_set_time_slice(uint64_t nanoseconds);
// Lowers the soft and hard limit of data (heap and private writable mappings).
int t2_limit_data(uint64_t bytes);
int t2_limit_core(uint64_t bytes);
// From now on allocations of so many bytes have pages of their own, and the system has these back when they are freed.
// Returns 0 where that bound is not taken; errno is not set.
int t2_return_allocations_from(int bytes);
