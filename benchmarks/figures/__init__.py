"""From what a case found to the figures that are shown."""
