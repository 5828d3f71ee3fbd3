"""What the project does to its own chapters: reading, executing and addressing them."""
