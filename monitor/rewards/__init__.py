"""The reward ensemble: what each member says of a response, and what they say together."""
