"""Messages and stores on Redis, in kombu's own layout, so that Celery's workers can share the queues."""
