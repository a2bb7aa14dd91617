"""Group offsets and transactions: deterministic state replayed from internal topics."""
