"""One frontal photo made into a character that speaks."""
