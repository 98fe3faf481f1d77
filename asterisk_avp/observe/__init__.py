"""Observability: log, audit records, metrics, queue_log, systemd notifications."""
