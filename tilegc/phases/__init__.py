"""What all phases are built from."""
