"""``python -m stem`` is the command ``stem``."""

from stem.cli.main import main

if __name__ == "__main__":
    main()
