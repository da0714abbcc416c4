"""One signal per file, each a pure function of a trace."""
