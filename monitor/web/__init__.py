"""API, console and metrics over HTTP; the only asynchronous package."""
