"""How a post gets its findings, its disposition and its booking request."""
