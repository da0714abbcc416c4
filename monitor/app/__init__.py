"""One process of the daemon: its parts are wired, watched over, and led."""
