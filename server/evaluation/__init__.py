"""How good answers and searches are: measures as pure functions."""
