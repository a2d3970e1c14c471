"""`darkroom up`: start a stack on this machine and say where everything is."""
