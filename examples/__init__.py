"""Examples: each one runs, and `tests/scenario/test_examples.py` runs it."""
