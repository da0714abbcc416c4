"""A user's own signals, by configuration alone: one file a source, and what is common to them."""
