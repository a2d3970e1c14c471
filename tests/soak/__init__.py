"""Ten minutes of a bad day: faults at random instants under load, then a reckoning without any of Darkroom's code."""
