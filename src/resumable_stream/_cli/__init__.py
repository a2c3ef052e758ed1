"""The command ``resumable-stream``."""
