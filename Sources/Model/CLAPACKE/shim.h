// LAPACK's C interface (package liblapacke-dev): Debian's OpenBLAS has LAPACK's routines, but not LAPACKE_*.
// LinearAlgebra alone imports it.
#include <lapacke.h>
