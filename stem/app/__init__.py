"""The application: the only package that joins adapters to services."""

from stem.app.application import Stem
from stem.app.loading import load

__all__ = ["Stem", "load"]
