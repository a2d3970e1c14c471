"""A soak test: faults at random instants under load for ten minutes, then a check that uses none of Darkroom's code."""
