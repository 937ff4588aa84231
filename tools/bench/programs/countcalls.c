// LD_PRELOAD library: counts calls of the allocator and of Swift's reference counting in a process, into a file
// another process can read while it runs (COUNT_CALLS_FILE: one 64-bit number for each function, in the order
// of `FUNCTIONS` below). x86-64 only.
//
// The stubs touch no register but r11, which no calling convention used here keeps anything in, so that it does
// not matter which convention the compiler has chosen for a runtime function.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define FUNCTIONS(X)                                                                                              \
  X(0, malloc) X(1, calloc) X(2, realloc) X(3, posix_memalign) X(4, aligned_alloc) X(5, free) X(6, swift_retain)  \
  X(7, swift_release) X(8, swift_allocObject) X(9, swift_bridgeObjectRetain) X(10, swift_bridgeObjectRelease)     \
  X(11, swift_beginAccess) X(12, swift_retain_n) X(13, swift_release_n) X(14, swift_slowAlloc)                    \
  X(15, swift_isUniquelyReferenced_nonNull_native)

enum { MOST = 32 };
// Where counting goes before the file is mapped.
static uint64_t early[MOST];
uint64_t *countcalls_page __attribute__((visibility("hidden"))) = early;
void *countcalls_real[MOST] __attribute__((visibility("hidden")));
static const char *const names[MOST] = {
#define NAME(index, function) [index] = #function,
    FUNCTIONS(NAME)
};

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void __libc_free(void *);

__attribute__((visibility("hidden"), used)) void countcalls_resolve(void) {
  for (int i = 6; i < MOST && names[i]; i++)
    if (!countcalls_real[i]) countcalls_real[i] = dlsym(RTLD_NEXT, names[i]);
  countcalls_real[3] = dlsym(RTLD_NEXT, "posix_memalign");
  countcalls_real[4] = dlsym(RTLD_NEXT, "aligned_alloc");
}

__attribute__((constructor)) static void start(void) {
  const char *path = getenv("COUNT_CALLS_FILE");
  countcalls_resolve();
  if (!path) return;
  int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0 || ftruncate(file, sizeof early) < 0) return perror(path);
  void *page = mmap(NULL, sizeof early, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (page != MAP_FAILED) countcalls_page = page;
  close(file);
}

// Plain C for the allocator: dlsym itself allocates, and glibc offers its own under other names.
void *malloc(size_t size) {
  __atomic_fetch_add(&countcalls_page[0], 1, __ATOMIC_RELAXED);
  return __libc_malloc(size);
}
void *calloc(size_t count, size_t size) {
  __atomic_fetch_add(&countcalls_page[1], 1, __ATOMIC_RELAXED);
  return __libc_calloc(count, size);
}
void *realloc(void *old, size_t size) {
  __atomic_fetch_add(&countcalls_page[2], 1, __ATOMIC_RELAXED);
  return __libc_realloc(old, size);
}
void free(void *old) {
  __atomic_fetch_add(&countcalls_page[5], 1, __ATOMIC_RELAXED);
  __libc_free(old);
}

#define STUB(index, function)                                                                                     \
  __asm__(".text\n.globl " #function "\n.type " #function ", @function\n" #function ":\n"                         \
          "  movq countcalls_page(%rip), %r11\n"                                                                  \
          "  lock incq 8*" #index "(%r11)\n"                                                                      \
          "  cmpq $0, 8*" #index "+countcalls_real(%rip)\n"                                                       \
          "  jne 1f\n"                                                                                            \
          "  push %rax; push %rcx; push %rdx; push %rsi; push %rdi; push %r8; push %r9; push %r10; push %rbx\n"   \
          "  movq %rsp, %rbx; andq $-16, %rsp; call countcalls_resolve; movq %rbx, %rsp\n"                        \
          "  pop %rbx; pop %r10; pop %r9; pop %r8; pop %rdi; pop %rsi; pop %rdx; pop %rcx; pop %rax\n"            \
          "1: jmp *8*" #index "+countcalls_real(%rip)\n"                                                          \
          ".size " #function ", .-" #function "\n");
STUB(3, posix_memalign)
STUB(4, aligned_alloc)
STUB(6, swift_retain)
STUB(7, swift_release)
STUB(8, swift_allocObject)
STUB(9, swift_bridgeObjectRetain)
STUB(10, swift_bridgeObjectRelease)
STUB(11, swift_beginAccess)
STUB(12, swift_retain_n)
STUB(13, swift_release_n)
STUB(14, swift_slowAlloc)
STUB(15, swift_isUniquelyReferenced_nonNull_native)
