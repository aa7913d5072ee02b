"""What the terminal shows, and how numbers look."""
