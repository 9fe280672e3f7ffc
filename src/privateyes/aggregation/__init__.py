"""The secure aggregation protocol: pure state machines, messages and the ideal functionality they are held against.

Nothing here does I/O, reads a clock or draws hidden randomness. README.md maps each step to its function, message and
test.
"""
