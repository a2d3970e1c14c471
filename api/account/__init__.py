"""Who calls the API: the account, with its limits and links, and the API keys of its owner."""
