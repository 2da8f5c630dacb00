"""From a post to its findings, its disposition and its booking request."""
