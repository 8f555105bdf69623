"""The player page and what it needs, served as static files."""
