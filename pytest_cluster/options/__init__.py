"""Read what a test asks for: markers, the command line, settings, the application."""
