"""What the console, the API and the metrics read: one file a subject that no other module of this package is about."""
