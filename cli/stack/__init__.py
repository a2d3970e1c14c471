"""A stack on one machine: which programs it has, how they are started, kept running and stopped."""
