"""AI-assisted rapid phase imaging: the phase of a thin specimen, one scan position at a time."""
