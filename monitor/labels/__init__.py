"""From labels to blocks of the log, to estimates, and to how well annotators agree."""
