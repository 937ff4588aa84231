// Preloaded under valgrind, which does not know epoll_pwait2(2): that call becomes epoll_pwait(2), in milliseconds.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>

long syscall(long number, ...) {
  static long (*next)(long, ...);
  long a[6];
  va_list list;
  va_start(list, number);
  for (int i = 0; i < 6; i++) a[i] = va_arg(list, long);
  va_end(list);
  if (number == SYS_epoll_pwait2) {
    const struct timespec *limit = (const void *)a[3];
    int milliseconds = limit ? (int)(limit->tv_sec * 1000 + (limit->tv_nsec + 999999) / 1000000) : -1;
    return epoll_pwait((int)a[0], (void *)a[1], (int)a[2], milliseconds, (void *)a[4]);
  }
  if (!next) next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
  return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
