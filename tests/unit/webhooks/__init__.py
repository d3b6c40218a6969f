"""The dialects, their proofs and their limits, tested with plain values."""
