"""Code that the gateway, the workers and the command line share: domain, stores, settings, observability."""
