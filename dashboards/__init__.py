"""Grafana dashboard, Prometheus rules and runbooks, kept beside the metrics they read."""
