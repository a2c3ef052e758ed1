"""The messages that peers send each other, and the keys and channels that they use."""
