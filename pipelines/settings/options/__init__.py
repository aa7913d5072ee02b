"""What the user may say to each command: a field is an option, its help and its default; None where nothing is said.

What is wrong on its face is refused here, where nothing heavy is imported: a mistake is told at once.
"""
