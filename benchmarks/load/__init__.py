"""Load generators and receivers, each a process of its own, with the plans they are given and the images they send."""
