"""Everything in the memory of one process, for tests and examples; the plainest reading of the ports."""
