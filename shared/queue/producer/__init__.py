"""The gateway's side of the queue: submit, cancel, find and list; everything that `api` wants of Redis."""
