"""What other people's methods cost, for comparison; nothing else is built on it."""
