"""The application object."""
