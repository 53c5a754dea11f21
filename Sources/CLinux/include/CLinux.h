// What Glibc's Swift overlay lacks of Linux: macros, variadic functions and newer headers as static inline wrappers.
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

// cpu_relax(): tells the core that this is a spin loop.
static inline void t2_cpu_pause(void) { 
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
 }
