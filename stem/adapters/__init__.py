"""One package for each technology, each implementing ports; none imports another."""
