"""Writes docs/determinism.md and its Chinese twin with every figure and number computed from the recorded runs."""
