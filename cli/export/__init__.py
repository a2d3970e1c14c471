"""`darkroom export`: write kept pictures and their labels into a folder to train with."""
