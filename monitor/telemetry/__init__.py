"""What the daemon says about itself: series, logs, health."""
