"""Code that must, and code that must not, type-check for users."""
