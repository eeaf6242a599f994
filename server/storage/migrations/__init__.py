"""The history of the tables, for Alembic. A new version is a file in `versions` with the next number."""
