"""Who gets in: access tokens, sessions of people who logged in, and the provider that knows them."""
