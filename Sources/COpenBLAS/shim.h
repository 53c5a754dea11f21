// OpenBLAS's C interface (package libopenblas-dev). LinearAlgebra alone imports it.
#include <cblas.h>
