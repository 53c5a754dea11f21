// SVF
