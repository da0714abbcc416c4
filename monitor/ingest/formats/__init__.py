"""One wire format per module: a type, its JSON Schema and its way into the domain."""
