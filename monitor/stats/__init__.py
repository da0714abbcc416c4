"""Sequential statistics: arrays in, frozen results out; knows nothing of the daemon."""
