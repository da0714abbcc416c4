"""The report of a verdict: one page of HTML that needs neither the daemon nor anything else to be read."""
