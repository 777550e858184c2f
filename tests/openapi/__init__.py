"""All that the OpenAPI document allows, and much that it does not, asked of a real server."""
