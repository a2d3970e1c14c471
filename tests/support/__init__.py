"""What tests of several folders use: real servers, workers, gateways, receivers, things that fail."""
