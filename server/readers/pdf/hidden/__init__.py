"""Text of a PDF that no reader sees, told by geometry; begin with text.py."""
