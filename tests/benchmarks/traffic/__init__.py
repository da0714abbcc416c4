"""The parts of `real_traffic`: what is replayed through the backtest, and what is wanted of it."""
