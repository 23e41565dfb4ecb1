"""Each module has ``upgrade(op, namespace)``; once released, it never changes."""
