// OpenBLAS's C interface (package libopenblas-dev). LinearAlgebra alone imports it.
#pragma once
#include <cblas.h>

// Where OpenBLAS is built for many processors (DYNAMIC_ARCH, as Debian's is), these two drop and choose its table of
// kernels: they are what its constructor and destructor call, and the choice reads OPENBLAS_CORETYPE again. Weak, since
// a build for one processor lacks them.
extern void gotoblas_dynamic_init(void) __attribute__((weak));
extern void gotoblas_dynamic_quit(void) __attribute__((weak));

// Chooses the kernel anew from the environment. 0 where this build has one kernel only. No BLAS call may run meanwhile.
static inline int t2_openblas_choose_kernel(void) {
  if (!gotoblas_dynamic_init || !gotoblas_dynamic_quit) return 0;
  gotoblas_dynamic_quit();
  gotoblas_dynamic_init();
  return 1;
}

// What this processor and kernel can run (cpuid and xgetbv): 0 below AVX2 with FMA, 1 for those, 2 for AVX-512
// F, BW, VL and DQ; -1 on another architecture than x86-64, where OpenBLAS's own choice stands.
static inline int t2_cpu_vector_level(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 0;
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
    return 2;
  return 1;
#else
  return -1;
#endif
}

// Tells the core that this is a spin loop. Here, not in CLinux: the compute threads are part of what makes BLAS usable.
static inline void t2_spin_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}
