"""A random scheduler that plays the queue's protocol over the product's own code on a real Redis."""
