"""What tests of several folders use: servers, stacks, gateways, workers, clients, receivers, images, archives."""
