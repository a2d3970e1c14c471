"""`darkroom status`: what the processes of a stack do now, from what they export and what they log."""
