"""What networks take where they are deployed: time and memory, of their parts and as a whole."""
