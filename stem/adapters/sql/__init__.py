"""Broker and stores in a SQL database: SQLite now, laid out so that another database adds a dialect only."""
