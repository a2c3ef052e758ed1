"""What a stream's text is, and how it ends."""
