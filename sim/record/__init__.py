"""What a run leaves: its folder, the recorder that fills it, and the read side over it."""
