"""Frozen baselines, bets against them, and the fold that turns the log into alarms."""
