"""The models a worker serves: followed in the registry, loaded, kept, called."""
