"""What the headers of image files say: the gateway and the worker read them with the same code."""
