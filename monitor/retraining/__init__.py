"""What answers an alarm: when a run starts, how it is watched, and whether its candidate is let through."""
