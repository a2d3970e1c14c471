"""The OpenAPI document: what routes say of themselves, and the whole."""
