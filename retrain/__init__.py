"""One training run from a RunSpec file, in its own process or pod."""
