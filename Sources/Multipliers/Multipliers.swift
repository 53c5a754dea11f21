// Multipliers
