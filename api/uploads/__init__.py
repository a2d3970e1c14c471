"""Reading what clients send: bodies, form parts, submission fields, and the images in them."""
