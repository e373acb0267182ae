"""How well laws predict what they have not seen."""
