"""Where attempts run inside a child: one at a time, in threads, or as coroutines."""
