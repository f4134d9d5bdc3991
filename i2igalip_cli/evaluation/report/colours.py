"""Colours that pictures and the viewer share."""

# Blue below 0, black at 0, orange above: told apart without red against green, and even.
SIGNED = ("#a8d8ff", "#2f7fd0", "#000000", "#c8501e", "#ffd2a0")
