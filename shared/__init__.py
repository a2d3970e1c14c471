"""What the gateway, the workers and the command line stand on."""
