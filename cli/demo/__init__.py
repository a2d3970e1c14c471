"""`darkroom demo`: a model trained here, and images it has never seen."""
