"""The OpenAPI document, the parts of it that routes declare, and the pages for people."""
