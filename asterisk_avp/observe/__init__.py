"""What others are told: log, audit, metrics, queue_log, systemd."""
