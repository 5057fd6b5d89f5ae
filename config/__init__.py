"""The project: settings, URLs, server entry points, and whatever depends on both apps."""
