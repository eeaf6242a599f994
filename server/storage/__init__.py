"""The database of calls, timelines, notifications and recordings: SQLite by default, PostgreSQL by URL. Never awaited by a call."""
