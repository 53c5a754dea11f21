// All of one vector unit; takes away the names that its inclusion was given.
#include "few_rows.h"
#include "stored.h"

#undef V
#undef I
#undef INLINE
#undef UNROLL
#undef LOAD
#undef CASES
#undef DISPATCH
#undef ROWS_OF_ONE
#undef SPAN
#undef AHEAD
#undef ONE_BY_ONE
#undef EACH_HALF
#undef THROUGH_MEMORY
#undef SHARING
#undef CHUNK
#undef WIDTH
#undef WEIGHT_ROWS
#undef COLUMN_VECTORS
#undef NAME
