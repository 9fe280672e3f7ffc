"""What makes the test vectors: one module for each file under vectors/."""
