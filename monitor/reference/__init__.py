"""The released policy, asked again over the network."""
