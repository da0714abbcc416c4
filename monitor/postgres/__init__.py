"""Adapters that keep the daemon's truth in PostgreSQL."""
