"""Celery's names for what Stem does."""

from stem_celery.states import celery_state, stem_state

__all__ = ["celery_state", "stem_state"]
