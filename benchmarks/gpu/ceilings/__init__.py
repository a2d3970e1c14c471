"""What the card and the cores give without Darkroom: forward passes, decoding, both in one loop."""
