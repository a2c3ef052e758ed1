"""What peers say to each other, and where they find it."""
