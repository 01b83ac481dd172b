"""What one run may state."""
