"""The project: settings, URLs, server entry points, and what stands above both apps."""
