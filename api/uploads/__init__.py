"""Reading what people send: bodies, fields, and the images in them."""
