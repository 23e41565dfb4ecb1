"""RabbitMQ: the connection is the lease; records and dead letters lie in another database."""
