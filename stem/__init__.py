"""A task queue on Kombu that neither loses nor silently repeats work."""
