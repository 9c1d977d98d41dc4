"""What happens to the world at stated moments."""
